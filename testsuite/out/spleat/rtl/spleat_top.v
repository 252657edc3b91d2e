// The accelerator of one image. SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
// Written for the image beside it: run tools in the folder of its memories.
// Words of the inputs, and of outputs that send spikes, are event words; other outputs send one
// potential in a word, in the order y, x, c. TLAST is the end of an inference.
`timescale 1ns/1ns
module spleat_top (
    input  wire clk,
    input  wire rst,
    // `input`
    input  wire [47:0] s0_axis_tdata,
    input  wire s0_axis_tvalid,
    output wire s0_axis_tready,
    // `logits`
    output wire [15:0] m0_axis_tdata,
    output wire m0_axis_tvalid,
    output wire m0_axis_tlast,
    input  wire m0_axis_tready,
    output wire overflow
);
    wire room0_0;
    wire valid0;
    wire [16:0] word0;
    wire ready0 = room0_0;
    wire room1_0;
    wire valid1;
    wire [13:0] word1;
    wire ready1 = room1_0;
    wire valid2;
    wire [12:0] word2;
    wire ready2 = m0_axis_tready;
    wire [1:0] overflows;
    assign overflow = overflows != 0;
    // Whether a word is handed on; for test benches.
    wire moving = (valid0 && ready0) || (valid1 && ready1) || (valid2 && ready2);

    assign valid0 = s0_axis_tvalid && !rst;
    assign word0 = {s0_axis_tdata[47:46], s0_axis_tdata[41:34], s0_axis_tdata[22:22], s0_axis_tdata[13:11], s0_axis_tdata[2:0]};
    assign s0_axis_tready = ready0 && !rst;

    // Layer 0, `fc1`.
    wire [0:0] in_valid0, in_ready0;
    wire [16:0] in_word0;
    spleat_fifo #(.WIDTH(17), .DEPTH(64), .NAME("in0_0")) before0_0 (.clk(clk), .rst(rst),
        .in_valid(valid0 && ready0), .in_word({word0[16:15], word0[14:7], word0[6:6], word0[5:3], word0[2:0]}), .in_ready(room0_0),
        .out_valid(in_valid0[0]), .out_word(in_word0[16:0]), .out_ready(in_ready0[0]));
    wire out_valid0, out_ready0;
    wire [13:0] out_word0;
    spleat_layer #(
        .ID(0), .NAME("l0"), .LANES(4), .PORTS(1),
        .CIN({32'd1}), .HIN({32'd8}), .WIN({32'd8}),
        .KH({32'd1}), .KW({32'd1}), .SY({32'd1}), .SX({32'd1}),
        .PT({32'd0}), .PL({32'd0}), .DY({32'd1}), .DX({32'd1}),
        .CHANNEL_GROUPS({32'd1}), .DENSE({32'd1}),
        .COUT(64), .HOUT(1), .WOUT(1), .TYPE(0),
        .KIND(0), .SHIFT(0), .KEPT(1), .HARD(0), .V_RESET(0), .MOST(15),
        .T(1), .BARRIER(0), .READOUT(0),
        .WB(8), .BB(14), .TB(15), .MB(19),
        .TDEPTH(16), .RDEPTH(0), .DDEPTH(0),
        .INITIAL(1216'h01318011b4078f81097016ee0112c02bb0069801794017f4054400d2e0092600ad801e280d9002838018780473004cf00f200190805a480841010da02078074b7f44c00d0800504019f80958008f6006b4052f80cb701b1401b8400a500938024360225400a9012db002ac005ac02268037a01fd00353405f5007e501788015cc0cde8139a0140c02d3c0510812690200404b8406f500ea3),
        .PB(8), .SIGNED(0), .BINARY(0), .CB(1), .YB(3), .XB(3),
        .OPB(4), .OCB(6), .OYB(1), .OXB(1)) layer0 (.clk(clk), .rst(rst),
        .in_valid(in_valid0), .in_word(in_word0), .in_ready(in_ready0),
        .out_valid(out_valid0), .out_word(out_word0), .out_ready(out_ready0), .overflow(overflows[0]));
    spleat_fifo #(.WIDTH(14), .DEPTH(64), .NAME("out0")) behind0 (.clk(clk), .rst(rst),
        .in_valid(out_valid0), .in_word(out_word0), .in_ready(out_ready0),
        .out_valid(valid1), .out_word(word1), .out_ready(ready1));

    // Layer 1, `fc2`.
    wire [0:0] in_valid1, in_ready1;
    wire [13:0] in_word1;
    spleat_fifo #(.WIDTH(14), .DEPTH(64), .NAME("in1_0")) before1_0 (.clk(clk), .rst(rst),
        .in_valid(valid1 && ready1), .in_word({word1[13:12], word1[11:8], word1[7:2], word1[1:1], word1[0:0]}), .in_ready(room1_0),
        .out_valid(in_valid1[0]), .out_word(in_word1[13:0]), .out_ready(in_ready1[0]));
    wire out_valid1, out_ready1;
    wire [12:0] out_word1;
    spleat_layer #(
        .ID(1), .NAME("l1"), .LANES(4), .PORTS(1),
        .CIN({32'd64}), .HIN({32'd1}), .WIN({32'd1}),
        .KH({32'd1}), .KW({32'd1}), .SY({32'd1}), .SX({32'd1}),
        .PT({32'd0}), .PL({32'd0}), .DY({32'd1}), .DX({32'd1}),
        .CHANNEL_GROUPS({32'd1}), .DENSE({32'd1}),
        .COUT(10), .HOUT(1), .WOUT(1), .TYPE(0),
        .KIND(3), .SHIFT(0), .KEPT(1), .HARD(0), .V_RESET(0), .MOST(1),
        .T(1), .BARRIER(0), .READOUT(1),
        .WB(4), .BB(3), .TB(2), .MB(12),
        .TDEPTH(3), .RDEPTH(0), .DDEPTH(0),
        .INITIAL(0),
        .PB(4), .SIGNED(0), .BINARY(0), .CB(6), .YB(1), .XB(1),
        .OPB(12), .OCB(4), .OYB(1), .OXB(1)) layer1 (.clk(clk), .rst(rst),
        .in_valid(in_valid1), .in_word(in_word1), .in_ready(in_ready1),
        .out_valid(out_valid1), .out_word(out_word1), .out_ready(out_ready1), .overflow(overflows[1]));
    spleat_fifo #(.WIDTH(13), .DEPTH(64), .NAME("out1")) behind1 (.clk(clk), .rst(rst),
        .in_valid(out_valid1), .in_word(out_word1), .in_ready(out_ready1),
        .out_valid(valid2), .out_word(word2), .out_ready(ready2));

    assign m0_axis_tvalid = valid2;
    assign m0_axis_tdata = {{4{word2[11]}}, word2[11:0]};
    assign m0_axis_tlast = word2[12];
endmodule
