// Test bench. SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
//
// Sends the words of in<i>.aer to input i, takes what the outputs send, and compares it with
// out<o>.hex where there is such a file. Runs in the folder of the image's memories. Options:
//   +gap=N    up to N clocks between input words
//   +stall=N  outputs not ready for up to N clocks after each word
//   +reset=N  a reset in clock N, after which everything is sent again
//   +seed=N   of both
`timescale 1ns/1ns
module spleat_tb;
    localparam INPUTS = 1, OUTPUTS = 1;
    // Clocks without a word handed on after which a run is given up.
    localparam PATIENCE = 13444;

    reg clk = 0, rst = 1;
    always #5 clk = ~clk;
    integer gap = 0, stall = 0, reset = 0, seed = 1;
    integer samples = 0;
    reg [INPUTS-1:0]  ended;

    wire [INPUTS-1:0]  source_ready;
    wire [OUTPUTS-1:0] valid, last;
    reg  [OUTPUTS-1:0] taker_ready;
    wire [OUTPUTS*64-1:0] answer;
    wire overflow;
    wire [15:0] data0;
    assign answer[0*64 +: 64] = data0;
    spleat_top dut (.clk(clk),
        .rst(rst),
        .s0_axis_tdata(source[0].word[47:0]), .s0_axis_tvalid(source[0].valid), .s0_axis_tready(source_ready[0]),
        .m0_axis_tdata(data0), .m0_axis_tvalid(valid[0]), .m0_axis_tlast(last[0]), .m0_axis_tready(taker_ready[0]),
        .overflow(overflow));

    initial begin
        if (!$value$plusargs("gap=%d", gap)) gap = 0;
        if (!$value$plusargs("stall=%d", stall)) stall = 0;
        if (!$value$plusargs("reset=%d", reset)) reset = 0;
        if (!$value$plusargs("seed=%d", seed)) seed = 1;
        repeat (4) @(posedge clk);
        #1 rst = 0;
        if (reset > 0) begin
            repeat (reset) @(posedge clk);
            #1 rst = 1;
            repeat (3) @(posedge clk);
            $display("RESTART");
            #1 rst = 0;
        end
    end

    genvar i, o;
    generate
        for (i = 0; i < INPUTS; i = i + 1) begin : source
            reg [63:0] word, following;
            reg        valid;
            reg [8*16-1:0] name;
            integer    file, got, idle;
            initial begin
                file = 0;
                valid = 0;
                idle = 0;
                $sformat(name, "in%0d.aer", i);
            end
            always @(posedge clk) begin
                if (rst) begin
                    if (file != 0) $fclose(file);
                    file = $fopen(name, "r");
                    got = $fscanf(file, "%h", following);
                    word  <= following;
                    valid <= got == 1;
                    ended[i] <= got != 1;
                    if (i == 0) samples <= 0;
                end else if (valid && source_ready[i]) begin
                    if (i == 0 && word[46 +: 2] == 2) samples <= samples + 1;
                    got = $fscanf(file, "%h", following);
                    word <= following;
                    ended[i] <= got != 1;
                    idle = gap > 0 ? $unsigned($random(seed)) % (gap + 1) : 0;
                    valid <= got == 1 && idle == 0;
                end else if (!valid && !ended[i]) begin
                    idle = idle - 1;
                    valid <= idle == 0;
                end
            end
        end
        for (o = 0; o < OUTPUTS; o = o + 1) begin : taker
            reg [8*16-1:0] name;
            reg [63:0] expected;
            integer    file, got, wait_, inferences, words, differing;
            initial begin
                wait_ = 0;
                taker_ready[o] = 1;
                file = 0;
                $sformat(name, "out%0d.hex", o);
            end
            always @(posedge clk) begin
                if (rst) begin
                    if (file != 0) $fclose(file);
                    file = $fopen(name, "r");
                    inferences <= 0;
                    words = 0;
                    differing = 0;
                end else if (valid[o] && taker_ready[o]) begin
                    if (file != 0) begin
                        got = $fscanf(file, "%h", expected);
                        if (got != 1 || expected !== answer[o*64 +: 64]) begin
                            if (differing < 10)
                                $display("DIFFERS output %0d word %0d: %h, not %h", o, words, answer[o*64 +: 64], expected);
                            differing = differing + 1;
                        end
                    end
                    words = words + 1;
                    if (last[o]) inferences <= inferences + 1;
                    wait_ = stall > 0 ? $unsigned($random(seed)) % (stall + 1) : 0;
                    taker_ready[o] <= wait_ == 0;
                end else if (!taker_ready[o]) begin
                    wait_ = wait_ - 1;
                    taker_ready[o] <= wait_ == 0;
                end
            end
            always @(posedge done) if (file != 0)
                $display("%0s output %0d: %0d words, %0d differ", differing == 0 ? "SAME" : "OTHER", o, words, differing);
        end
    endgenerate

    // Clocks in all, and since a word was last handed on.
    integer clocks = 0, still = 0, answered = 0;
    reg done = 0;
    integer n;
    reg all;
    wire [OUTPUTS-1:0] finished;
    generate
        for (o = 0; o < OUTPUTS; o = o + 1) begin : collect
            assign finished[o] = taker[o].inferences == samples;
        end
    endgenerate
    always @(posedge clk) begin
        if (rst) begin
            clocks = 0;
            still = 0;
            answered = 0;
        end else begin
            clocks = clocks + 1;
            still = dut.moving ? 0 : still + 1;
            if (ended == {INPUTS{1'b1}} && finished == {OUTPUTS{1'b1}}) begin
                // The ends of layers whose potentials are the answer are still under way.
                if (answered == 0) answered = clocks;
                if (done) $finish;
                else if (still > 64) begin
                    $display("DONE %0d", answered);
                    done = 1;
                end
            end else if (still > PATIENCE) begin
                $display("DEADLOCK no word is handed on since clock %0d", clocks - still);
                $finish;
            end
        end
    end
endmodule
