// Where the events of one port lead. SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
//
// Out of a source (c, y, x): how many rows and columns of taps there are, where the first weight and
// potential are, and which groups and banks hold the channels that it meets.
`timescale 1ns/1ns
module spleat_port #(
    parameter CIN = 1, HIN = 1, WIN = 1,        // of the source as events name it
    parameter COUT = 1, HOUT = 1, WOUT = 1,
    parameter KH = 1, KW = 1, SY = 1, SX = 1, PT = 0, PL = 0, DY = 1, DX = 1,
    parameter CHANNEL_GROUPS = 1,               // groups of channels
    parameter DENSE = 0,
    parameter LANES = 1, GROUPS = 1,            // banks, words of a bank for one place
    parameter CB = 1, YB = 1, XB = 1,           // bits of c, y, x
    parameter NB = 1,                           // bits of a number of taps
    parameter WA = 1, VA = 1, GB = 1, LB = 1    // bits of addresses, of a group, of a bank
) (
    input  wire [CB-1:0] c,
    input  wire [YB-1:0] y,
    input  wire [XB-1:0] x,
    output wire [NB-1:0] rows,
    output wire [NB-1:0] columns,
    output wire [WA-1:0] weight_c,      // the channel's part of the address
    output wire [WA-1:0] weight_yx,
    output wire [VA-1:0] potential,
    output wire [GB-1:0] first, last,   // groups
    output wire [LB-1:0] low, high      // first bank in the first group, last bank in the last
);
    localparam INPUTS  = CIN / CHANNEL_GROUPS;      // input channels of a group of channels
    localparam TARGETS = COUT / CHANNEL_GROUPS;     // output channels of a group of channels
    localparam EACH    = DENSE ? GROUPS : KH * KW * GROUPS;

    wire [WA-1:0] weight_y, weight_x;
    wire [VA-1:0] potential_y, potential_x;
    generate
        if (DENSE) begin : dense
            localparam [31:0] ROW = WIN * CIN * GROUPS;
            localparam [31:0] COLUMN = CIN * GROUPS;
            assign rows    = 1;
            assign columns = 1;
            if (HIN > 1) assign weight_y = y * ROW[WA-1:0];
            else         assign weight_y = 0;
            if (WIN > 1) assign weight_x = x * COLUMN[WA-1:0];
            else         assign weight_x = 0;
            assign potential_y = 0;
            assign potential_x = 0;
        end else begin : convolution
            spleat_window #(.SIZE(HIN), .OUTPUTS(HOUT), .KERNEL(KH), .STRIDE(SY), .DILATION(DY), .BEFORE(PT),
                .WEACH(KW * GROUPS), .VEACH(WOUT * GROUPS), .IB(YB), .NB(NB), .WA(WA), .VA(VA))
                along_y (.at(y), .cells(rows), .weight(weight_y), .potential(potential_y));
            spleat_window #(.SIZE(WIN), .OUTPUTS(WOUT), .KERNEL(KW), .STRIDE(SX), .DILATION(DX), .BEFORE(PL),
                .WEACH(GROUPS), .VEACH(GROUPS), .IB(XB), .NB(NB), .WA(WA), .VA(VA))
                along_x (.at(x), .cells(columns), .weight(weight_x), .potential(potential_x));
        end
    endgenerate
    assign weight_yx = weight_y + weight_x;
    assign potential = potential_y + potential_x;

    generate
        if (CHANNEL_GROUPS == 1) begin : whole
            localparam [31:0] CHANNEL = EACH, END = GROUPS - 1, BANK = LANES - 1;
            if (CIN > 1) assign weight_c = c * CHANNEL[WA-1:0];
            else         assign weight_c = 0;
            assign first = 0;
            assign last  = END[GB-1:0];
            assign low   = 0;
            assign high  = BANK[LB-1:0];
        end else begin : grouped
            function [WA+2*GB+2*LB-1:0] entry(input integer channel);
                integer w, from, to, f, l, a, b;
                begin
                    w    = channel % INPUTS * EACH;
                    from = channel / INPUTS * TARGETS;
                    to   = from + TARGETS - 1;
                    f = from / LANES;
                    l = to / LANES;
                    a = from % LANES;
                    b = to % LANES;
                    entry = {w[WA-1:0], f[GB-1:0], l[GB-1:0], a[LB-1:0], b[LB-1:0]};
                end
            endfunction
            (* ram_style = "logic", rom_style = "logic" *)
            reg [WA+2*GB+2*LB-1:0] entries [0:CIN-1];
            integer i;
            initial for (i = 0; i < CIN; i = i + 1) entries[i] = entry(i);
            assign {weight_c, first, last, low, high} = entries[c];
        end
    endgenerate
endmodule
