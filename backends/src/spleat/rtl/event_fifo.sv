// A FIFO of event words with valid/ready handshakes and a high-water mark.
// SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
module event_fifo #(
    parameter WIDTH = 48,
    parameter DEPTH = 64
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             in_valid,
    input  wire [WIDTH-1:0] in_word,
    output wire             in_ready,
    output wire             out_valid,
    output wire [WIDTH-1:0] out_word,
    input  wire             out_ready
);
    reg [WIDTH-1:0] words [0:DEPTH-1];
    integer head, tail, fill, most;

    assign in_ready  = fill < DEPTH;
    assign out_valid = fill > 0;
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
                tail <= (tail + 1 == DEPTH) ? 0 : tail + 1;
            end
            if (pop) head <= (head + 1 == DEPTH) ? 0 : head + 1;
            fill <= fill + (push ? 1 : 0) - (pop ? 1 : 0);
            if (push && !pop && fill + 1 > most) most <= fill + 1;
        end
    end
endmodule
