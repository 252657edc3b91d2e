// A FIFO of words with valid/ready handshakes. SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
//
// A word that is pushed in clock t can be taken from clock t + 2 on: it passes through the register
// behind a synchronous memory. DEPTH counts that register too.
`timescale 1ns/1ns
module spleat_fifo #(
    parameter WIDTH = 8,
    parameter DEPTH = 64,
    parameter NAME  = "fifo"    // in traces
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             in_valid,
    input  wire [WIDTH-1:0] in_word,
    output wire             in_ready,
    output wire             out_valid,
    output reg  [WIDTH-1:0] out_word,
    input  wire             out_ready
);
    localparam AB = DEPTH > 1 ? $clog2(DEPTH) : 1;
    localparam CB = $clog2(DEPTH + 1);
    localparam [31:0] LAST = DEPTH - 1;
    localparam [31:0] FULL = DEPTH;

    (* no_rw_check *)
    reg [WIDTH-1:0] words [0:DEPTH-1];
    reg [AB-1:0] head, tail;
    reg [CB-1:0] stored;    // words in the memory that the register has not fetched
    reg [CB-1:0] fill;      // with the one in the register
    reg          held;      // whether there is one
    reg          room;

    assign in_ready  = room;
    assign out_valid = held;
    wire push  = in_valid && in_ready;
    wire pop   = held && out_ready;
    wire [CB-1:0] filled = push && !pop ? fill + 1'b1 : pop && !push ? fill - 1'b1 : fill;
    wire fetch = stored != 0 && (!held || out_ready);

    always @(posedge clk) begin
        if (push) words[tail] <= in_word;
        if (fetch) out_word <= words[head];
    end
    always @(posedge clk) begin
        if (rst) begin
            head   <= 0;
            tail   <= 0;
            stored <= 0;
            fill   <= 0;
            held   <= 0;
            room   <= 1;
        end else begin
            if (push)  tail <= tail == LAST[AB-1:0] ? {AB{1'b0}} : tail + 1'b1;
            if (fetch) head <= head == LAST[AB-1:0] ? {AB{1'b0}} : head + 1'b1;
            if (push && !fetch) stored <= stored + 1'b1;
            if (fetch && !push) stored <= stored - 1'b1;
            fill <= filled;
            room <= filled != FULL[CB-1:0];
            if (fetch)    held <= 1;
            else if (pop) held <= 0;
        end
    end

`ifdef SPLEAT_TRACE
    integer most = 0;
    always @(posedge clk) if (!rst && fill > most) most = fill;
    final $display("F %0s %0d", NAME, most);
`endif
endmodule
