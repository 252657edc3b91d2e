// A bank: its weights, its potentials and its neurons. SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
//
// Accumulate: in clock 0 the weight is read, in clock 1 kept, in clock 2 multiplied while the potential
// is read, in clock 3 added, in clock 4 written. What was added in one of the last two clocks is taken from
// there.
`timescale 1ns/1ns
module spleat_lane #(
    parameter NAME    = "l0",
    parameter LANE    = 0,
    parameter TYPE    = 0,      // 0 neurons, 1 maxima, 2 maxima of running totals
    parameter PORTS   = 1,
    parameter QB      = 1,      // bits of the number of a port
    parameter [PORTS*32-1:0] WDEPTHS = 1,
    parameter WB = 2, WA = 1,
    parameter XB = 2,           // bits of a payload with its sign
    parameter BINARY = 0,       // whether all payloads are 1
    parameter VDEPTH = 1, VA = 1, MB = 8,
    parameter GROUPS = 1, GB = 1,
    parameter BB = 1, TB = 2,
    parameter TDEPTH = 1, RDEPTH = 0, DDEPTH = 0, TA = 1,
    parameter KIND = 0, SHIFT = 0, KEPT = 1, HARD = 0, V_RESET = 0, MOST = 1,
    parameter [GROUPS*MB-1:0] INITIAL = 0,
    parameter PB = 1, SB = 1
) (
    input  wire                 clk,
    // Accumulate.
    input  wire [WA-1:0]        a_weight,
    input  wire [QB-1:0]        n_port,         // clock 1
    input  wire signed [XB-1:0] m_payload,      // clock 2
    input  wire                 x_valid,        // clock 3, this bank takes part
    input  wire                 x_last,         // the potential is that of the clock before
    input  wire                 x_before,       // the potential is that of two clocks before
    input  wire                 y_valid,        // clock 4
    // Potentials.
    input  wire                 v_enable,
    input  wire [VA-1:0]        v_read,
    input  wire                 v_write,        // of a sweep, or to clear
    input  wire [VA-1:0]        v_address,
    input  wire                 v_initial,      // write the initial potential
    input  wire [GB-1:0]        v_group,
    // Sweep.
    input  wire                 s_enable,
    input  wire [VA-1:0]        s_place,        // of the neuron that is loaded next
    input  wire [GB-1:0]        s_group,
    input  wire [TA-1:0]        s_threshold,
    input  wire [TA-1:0]        s_reset,
    input  wire [TA-1:0]        s_value,
    input  wire                 s_biased,
    input  wire                 s_load,
    input  wire                 s_next,
    input  wire [SB-1:0]        s_step,
    input  wire                 s_keep,         // the neuron is done in this clock
    output wire [PB-1:0]        sent,
    output wire                 fires,
    output wire signed [MB-1:0] after,
    output reg                  lost            // a sum did not fit, in the clock before
);
    // Files of the image: stem, letter and number of the bank, nulls before them.
    localparam [31:0] D3 = 48 + LANE / 1000, D2 = 48 + LANE / 100 % 10, D1 = 48 + LANE / 10 % 10, D0 = 48 + LANE % 10;
    function [8*28-1:0] file(input [8*16-1:0] stem, input [7:0] letter);
        file = LANE < 10   ? {stem, "_", letter, D0[7:0], ".mem"}
             : LANE < 100  ? {stem, "_", letter, D1[7:0], D0[7:0], ".mem"}
             : LANE < 1000 ? {stem, "_", letter, D2[7:0], D1[7:0], D0[7:0], ".mem"}
                           : {stem, "_", letter, D3[7:0], D2[7:0], D1[7:0], D0[7:0], ".mem"};
    endfunction

    wire signed [MB-1:0] potential, updated;
    reg  signed [MB-1:0] result, earlier;
    wire signed [MB-1:0] held = x_last ? result : x_before ? earlier : potential;
    wire signed [MB-1:0] initially = INITIAL[v_group*MB +: MB];

    spleat_ram #(.WIDTH(MB), .DEPTH(VDEPTH), .AB(VA)) potentials (.clk(clk),
        .enable(v_enable), .address(v_read), .word(potential),
        .write(y_valid || v_write), .write_address(v_address), .write_word(v_initial ? initially : result));
    always @(posedge clk) begin
        result  <= s_keep ? after : updated;
        earlier <= result;
    end

    generate
        if (TYPE == 0) begin : neurons
            // Synapses.
            wire [PORTS*WB-1:0] weights;
            genvar q;
            for (q = 0; q < PORTS; q = q + 1) begin : port
                localparam [31:0] Q = 48 + q;
                localparam [8*16-1:0] STEM = q == 0 ? NAME : {NAME, "p", Q[7:0]};
                localparam DEPTH = WDEPTHS[32*q +: 32];
                localparam AB = DEPTH > 1 ? $clog2(DEPTH) : 1;
                spleat_rom #(.FILE(file(STEM, "w")), .WIDTH(WB), .DEPTH(DEPTH), .AB(AB)) memory (.clk(clk),
                    .enable(1'b1), .address(a_weight[AB-1:0]), .word(weights[q*WB +: WB]));
            end
            localparam MULTIPLIED = BINARY ? WB : WB + XB;
            reg  signed [WB-1:0] weight;
            always @(posedge clk) weight <= weights[n_port*WB +: WB];
            reg  signed [MULTIPLIED-1:0] product;
            if (BINARY) begin : binary
                always @(posedge clk) product <= weight;
            end else begin : graded
                always @(posedge clk) product <= weight * m_payload;
            end
            localparam AW = (MB > MULTIPLIED ? MB : MULTIPLIED) + 1;
            wire signed [AW-1:0] total = held + product;
            assign updated = total[MB-1:0];

            // Tables of the neurons. A name of its own keeps the stem free of nulls in the middle.
            localparam [8*16-1:0] OWN = NAME;
            wire signed [BB-1:0] bias;
            wire signed [TB-1:0] threshold, reset, value;
            spleat_rom #(.FILE(file(OWN, "b")), .WIDTH(BB), .DEPTH(GROUPS), .AB(GB)) biases (.clk(clk),
                .enable(s_enable), .address(s_group), .word(bias));
            if (KIND != 3) begin : thresholds
                localparam AB = TDEPTH > 1 ? $clog2(TDEPTH) : 1;
                spleat_rom #(.FILE(file(OWN, "t")), .WIDTH(TB), .DEPTH(TDEPTH), .AB(AB)) memory (.clk(clk),
                    .enable(s_enable), .address(s_threshold[AB-1:0]), .word(threshold));
            end else begin : none
                assign threshold = 0;
            end
            if (RDEPTH > 0) begin : resets
                localparam AB = RDEPTH > 1 ? $clog2(RDEPTH) : 1;
                spleat_rom #(.FILE(file(OWN, "r")), .WIDTH(TB), .DEPTH(RDEPTH), .AB(AB)) memory (.clk(clk),
                    .enable(s_enable), .address(s_reset[AB-1:0]), .word(reset));
            end else begin : no_resets
                assign reset = 0;
            end
            if (DDEPTH > 0) begin : values
                localparam AB = DDEPTH > 1 ? $clog2(DDEPTH) : 1;
                spleat_rom #(.FILE(file(OWN, "d")), .WIDTH(TB), .DEPTH(DDEPTH), .AB(AB)) memory (.clk(clk),
                    .enable(s_enable), .address(s_value[AB-1:0]), .word(value));
            end else begin : no_values
                assign value = 0;
            end
            wire overflows;
            spleat_neuron #(.KIND(KIND), .SHIFT(SHIFT), .KEPT(KEPT), .HARD(HARD), .V_RESET(V_RESET), .MOST(MOST),
                .RESETS(RDEPTH > 0), .VALUES(DDEPTH > 0), .MB(MB), .BB(BB), .TB(TB), .PB(PB), .SB(SB)) neuron (
                .clk(clk), .load(s_load), .next(s_next), .step(s_step), .potential(potential),
                .bias(s_biased ? bias : {BB{1'b0}}), .threshold(threshold), .reset(reset), .value(value),
                .after(after), .sent(sent), .lost(overflows));
            assign fires = sent != 0;
            always @(posedge clk)
                lost <= (x_valid && total != {{(AW-MB){updated[MB-1]}}, updated}) || (s_keep && overflows);
        end else begin : maxima
            // The payload, or the total of its source, waits for the potential.
            reg signed [XB-1:0] candidate;
            always @(posedge clk) candidate <= m_payload;
            assign updated = candidate > held ? candidate : held;
            always @(posedge clk) lost <= 0;
            reg signed [MB-1:0] largest;
            always @(posedge clk) if (s_load) largest <= potential;
            if (TYPE == 1) begin : each
                assign sent  = largest[PB-1:0];
                assign after = 0;
            end else begin : running
                // What was sent for each window so far.
                wire signed [MB-1:0] told;
                wire signed [MB-1:0] grown = largest - told;
                spleat_ram #(.WIDTH(MB), .DEPTH(VDEPTH), .AB(VA)) history (.clk(clk),
                    .enable(s_enable), .address(s_place), .word(told),
                    .write(v_write), .write_address(v_address), .write_word(v_initial ? {MB{1'b0}} : result));
                assign sent  = grown[PB-1:0];
                assign after = largest;
            end
            assign fires = sent != 0;
        end
    endgenerate
endmodule
