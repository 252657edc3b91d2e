// A FIFO of event words with valid/ready handshakes and a high-water mark.
// SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
`timescale 1ns/1ns
module event_fifo #(
    parameter CAPACITY = 64
) (
    input  wire        clk,
    input  wire        rst,
    input  wire [31:0] depth,      // words that it holds, at most CAPACITY
    input  wire        in_valid,
    input  wire [63:0] in_word,
    output wire        in_ready,
    output wire        out_valid,
    output wire [63:0] out_word,
    input  wire        out_ready,
    output reg  [31:0] most        // most words that it held
);
    reg [63:0] words [0:CAPACITY-1];
    reg [31:0] head, tail, fill;

    assign in_ready  = fill < depth;
    assign out_valid = fill != 0;
    assign out_word  = words[head];

    wire push = in_valid && in_ready;
    wire pop  = out_valid && out_ready;

    always @(posedge clk) begin
        if (rst) begin
            head <= 0;
            tail <= 0;
            fill <= 0;
            most <= 0;
        end else begin
            if (push) begin
                words[tail] <= in_word;
                tail <= (tail + 1 == depth) ? 0 : tail + 1;
            end
            if (pop) head <= (head + 1 == depth) ? 0 : head + 1;
            fill <= fill + (push ? 1 : 0) - (pop ? 1 : 0);
            if (push && !pop && fill + 1 > most) most <= fill + 1;
        end
    end
endmodule
