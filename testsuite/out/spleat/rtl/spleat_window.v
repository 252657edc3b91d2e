// Where an event meets the windows of one axis. SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
//
// The cells k of the kernel under which the event at `at` meets an output are
//   (at + BEFORE - k * DILATION) = STRIDE * o  with 0 <= o < OUTPUTS,
// which is k = first, first + KSTEP, .. with o falling by OSTEP. A table has how many there are, and
// for the first of them the offsets of its weight (k * WEACH) and of its potential (o * VEACH).
`timescale 1ns/1ns
module spleat_window #(
    parameter SIZE     = 1,     // cells of the source
    parameter OUTPUTS  = 1,
    parameter KERNEL   = 1,
    parameter STRIDE   = 1,
    parameter DILATION = 1,
    parameter BEFORE   = 0,
    parameter WEACH    = 1,
    parameter VEACH    = 1,
    parameter IB       = 1,     // bits of a place
    parameter NB       = 1,     // bits of a number of cells
    parameter WA       = 1,     // bits of an address of weights, of potentials
    parameter VA       = 1
) (
    input  wire [IB-1:0] at,
    output wire [NB-1:0] cells,
    output wire [WA-1:0] weight,
    output wire [VA-1:0] potential
);
    function meets(input integer place, input integer k);
        integer d;
        begin
            d = place + BEFORE - k * DILATION;
            meets = d >= 0 && d % STRIDE == 0 && d / STRIDE < OUTPUTS;
        end
    endfunction
    function [NB+WA+VA-1:0] entry(input integer place);
        integer k, first, count, w, v;
        begin
            first = 0;
            count = 0;
            for (k = KERNEL - 1; k >= 0; k = k - 1)
                if (meets(place, k)) begin
                    first = k;
                    count = count + 1;
                end
            w = first * WEACH;
            v = count > 0 ? (place + BEFORE - first * DILATION) / STRIDE * VEACH : 0;
            entry = {count[NB-1:0], w[WA-1:0], v[VA-1:0]};
        end
    endfunction

    (* ram_style = "logic", rom_style = "logic" *)
    reg [NB+WA+VA-1:0] entries [0:SIZE-1];
    integer i;
    initial for (i = 0; i < SIZE; i = i + 1) entries[i] = entry(i);
    assign {cells, weight, potential} = entries[at];
endmodule
