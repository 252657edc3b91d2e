// Inputs, layers and FIFOs of one image, connected as plan.mem says.
// SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
//
// The parameters are capacities, nothing else: one build runs every image that fits them. The
// sources of words are streams, numbered inputs first, then layers. plan.mem has
//   0 layers, 1 inputs, 2 samples, 3 clocks without a word after which a run is given up,
//   4..13 the event word: lowest bit of its type, then lowest bit and width of payload, channel,
//   row and column, and whether payloads are signed;
//   then for each layer: ports, bits of biases, bits of thresholds, words of a bank's thresholds,
//   resets and spike values, depth of the FIFO behind it, whether it takes running maxima, and
//   for each of PORTS ports its stream and the depth of the FIFO before it.
// Input words are in in<i>.aer, one to a line.
`timescale 1ns/1ns
module top #(
    parameter LAYERS     = 1,
    parameter INPUTS     = 1,
    parameter PORTS      = 1,
    parameter LANES      = 1,
    parameter WEIGHTS    = 1,
    parameter CHANNELS   = 1,
    parameter THRESHOLDS = 1,
    parameter RESETS     = 1,
    parameter DECODES    = 1,
    parameter NEURONS    = 1,
    parameter SOURCES    = 1,
    parameter WINDOWS    = 1,
    parameter FIFO       = 1
);
    localparam HEAD = 14, EACH = 8 + 2 * PORTS, STREAMS = INPUTS + LAYERS;

    reg clk = 0, rst = 1;
    always #5 clk = ~clk;

    reg [31:0] plan [0:HEAD+LAYERS*EACH-1];
    integer word;
    initial begin
        for (word = 0; word < HEAD + LAYERS * EACH; word = word + 1) plan[word] = 0;
        $readmemh("plan.mem", plan);
    end
    wire [10*32-1:0] fields;
    genvar f;
    generate
        for (f = 0; f < 10; f = f + 1) begin : field
            assign fields[f*32 +: 32] = plan[4+f];
        end
    endgenerate

    // Words of every stream, and whether all its takers have room.
    wire [STREAMS-1:0]    valid;
    wire [STREAMS*64-1:0] words;
    reg  [STREAMS-1:0]    ready;
    // FIFOs before the ports.
    wire [LAYERS*PORTS-1:0] room;
    wire [LAYERS*32-1:0]    inferences;

    integer l, p, s;
    always @* begin
        ready = {STREAMS{1'b1}};
        for (l = 0; l < LAYERS; l = l + 1)
            for (p = 0; p < PORTS; p = p + 1)
                for (s = 0; s < STREAMS; s = s + 1)
                    if (l < plan[0] && p < plan[HEAD+l*EACH] && s == plan[HEAD+l*EACH+8+2*p] && !room[l*PORTS+p])
                        ready[s] = 0;
    end

    genvar i, k, q;
    generate
        for (i = 0; i < INPUTS; i = i + 1) begin : source
            reg [8*32-1:0] name;
            integer file, got;
            reg [63:0] line, next;
            reg full;
            initial $sformat(name, "in%0d.aer", i);
            always @(posedge clk) begin
                if (rst) begin
                    full <= 0;
                    file = 0;
                end else begin
                    if (file == 0 && i < plan[1]) file = $fopen(name, "r");
                    if (file != 0 && (!full || ready[i])) begin
                        got = $fscanf(file, "%h", line);
                        next <= line;
                        full <= got == 1;
                    end
                end
            end
            assign valid[i] = full;
            assign words[i*64 +: 64] = next;
        end
        for (k = 0; k < LAYERS; k = k + 1) begin : stage
            wire [PORTS-1:0]    in_valid, in_ready;
            wire [PORTS*64-1:0] in_words;
            wire [PORTS*32-1:0] in_most;
            wire        out_valid, out_ready;
            wire [63:0] out_word;
            wire [31:0] out_most;
            for (q = 0; q < PORTS; q = q + 1) begin : port
                wire        used = k < plan[0] && q < plan[HEAD+k*EACH];
                wire [31:0] from = plan[HEAD+k*EACH+8+2*q];
                event_fifo #(.CAPACITY(FIFO)) ahead (
                    .clk(clk), .rst(rst), .depth(plan[HEAD+k*EACH+9+2*q]),
                    .in_valid(used && valid[from] && ready[from]), .in_word(words[from*64 +: 64]),
                    .in_ready(room[k*PORTS+q]),
                    .out_valid(in_valid[q]), .out_word(in_words[q*64 +: 64]), .out_ready(in_ready[q]),
                    .most(in_most[q*32 +: 32]));
            end
            spleat_layer #(.PORTS(PORTS), .LANES(LANES), .WEIGHTS(WEIGHTS), .CHANNELS(CHANNELS),
                .THRESHOLDS(THRESHOLDS), .RESETS(RESETS), .DECODES(DECODES), .NEURONS(NEURONS),
                .SOURCES(SOURCES), .WINDOWS(WINDOWS)) layer (
                .clk(clk), .rst(rst), .id(32'd0 + k), .used(k < plan[0]), .fields(fields),
                .ports(plan[HEAD+k*EACH]), .bias_bits(plan[HEAD+k*EACH+1]),
                .threshold_bits(plan[HEAD+k*EACH+2]), .tdepth(plan[HEAD+k*EACH+3]),
                .rdepth(plan[HEAD+k*EACH+4]), .ddepth(plan[HEAD+k*EACH+5]),
                .running(plan[HEAD+k*EACH+7] != 0),
                .in_valid(in_valid), .in_word(in_words), .in_ready(in_ready),
                .out_valid(out_valid), .out_word(out_word), .out_ready(out_ready),
                .inferences(inferences[k*32 +: 32]));
            event_fifo #(.CAPACITY(FIFO)) behind (
                .clk(clk), .rst(rst), .depth(plan[HEAD+k*EACH+6]),
                .in_valid(out_valid), .in_word(out_word), .in_ready(out_ready),
                .out_valid(valid[INPUTS+k]), .out_word(words[(INPUTS+k)*64 +: 64]),
                .out_ready(ready[INPUTS+k]), .most(out_most));
            // High-water marks, when all is done.
            integer shown;
            always @(posedge done) if (k < plan[0]) begin
                $display("F out%0d %0d", k, out_most);
                for (shown = 0; shown < plan[HEAD+k*EACH]; shown = shown + 1)
                    $display("F in%0d_%0d %0d", k, shown, in_most[shown*32 +: 32]);
            end
        end
    endgenerate

    reg done = 0;
    reg finished;
    integer n;
    always @* begin
        finished = 1;
        for (n = 0; n < LAYERS; n = n + 1)
            if (n < plan[0] && inferences[n*32 +: 32] != plan[2]) finished = 0;
    end

    // Clocks in all, and since a word was last handed on.
    reg [63:0] clocks = 0, still = 0;
    initial begin
        repeat (4) @(posedge clk);
        #1 rst = 0;
    end
    always @(posedge clk) if (!rst) begin
        clocks = clocks + 1;
        still = (valid & ready) != 0 ? 0 : still + 1;
        if (done) begin
            $display("DONE %0d", clocks);
            $finish;
        end else if (finished) done = 1;
        else if (still > plan[3]) begin
            $display("DEADLOCK no word is handed on since clock %0d", clocks - still);
            $finish;
        end
    end
endmodule
