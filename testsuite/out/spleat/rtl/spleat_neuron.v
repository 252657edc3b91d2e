// One neuron at a time. SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
//
// In the clock of `load` it takes a potential and a bias; in each of the STEPS clocks after, one
// comparison with a multiple of the threshold is made. Multiples are halved, so that MOST levels take
// as many clocks as MOST has bits: weights 2^(K-1), .., 2, 1, before them the one that is left where
// MOST is not 2^K - 1. `after` and `sent` hold in the last of them.
`timescale 1ns/1ns
module spleat_neuron #(
    parameter KIND    = 0,      // 0 integrate and fire, 1 averaging, 2 subtracting, 3 none
    parameter SHIFT   = 0,
    parameter KEPT    = 1,
    parameter HARD    = 0,
    parameter V_RESET = 0,
    parameter MOST    = 1,
    parameter RESETS  = 0,      // whether spikes subtract what `reset` says instead of the threshold
    parameter VALUES  = 0,      // whether spikes count what `value` says instead of 1
    parameter MB      = 16,     // bits of potentials, biases, thresholds, payloads
    parameter BB      = 16,
    parameter TB      = 16,
    parameter PB      = 1,
    parameter SB      = 1       // bits of the number of a step
) (
    input  wire                 clk,
    input  wire                 load,
    input  wire                 next,
    input  wire [SB-1:0]        step,
    input  wire signed [MB-1:0] potential,
    input  wire signed [BB-1:0] bias,
    input  wire signed [TB-1:0] threshold,
    input  wire signed [TB-1:0] reset,
    input  wire signed [TB-1:0] value,
    output wire signed [MB-1:0] after,
    output wire [PB-1:0]        sent,
    output wire                 lost    // whether the membrane cannot hold what is left
);
    localparam K     = $clog2(MOST + 2) - 1;
    localparam REST  = MOST - (1 << K) + 1;
    localparam STEPS = KIND == 3 ? 1 : K + (REST > 0 ? 1 : 0);
    localparam UB    = (MB > BB ? MB : BB) + 1;
    localparam MW    = TB + K + 1;                      // bits of a multiple of a threshold
    localparam CW    = (UB > MW ? UB : MW) + 1;
    localparam LW = RESETS ? CW : UB;                   // of what is left: resets may be larger than thresholds
    localparam [31:0] LAST = STEPS - 1;

    reg signed [UB-1:0] u;      // what is compared
    reg signed [LW-1:0] left;   // what is left of the potential
    reg [PB-1:0]        z;      // what is sent

    wire signed [UB-1:0] sum = potential + bias;
    wire signed [UB-1:0] start = KIND == 1 ? sum >>> SHIFT : sum;

    // Multiples of this step: shifts, and in a first step the rest.
    function signed [MW-1:0] times(input signed [TB-1:0] x, input [SB-1:0] s);
        reg signed [MW-1:0] wide;
        begin
            wide  = x;
            times = REST > 0 && s == 0 ? wide * $signed(REST) : wide <<< (LAST[SB-1:0] - s);
        end
    endfunction

    wire signed [CW-1:0] over = u - times(threshold, step);
    wire hit = KIND != 3 && !over[CW-1];
    wire [31:0] level = REST > 0 && step == 0 ? REST : 32'd1 << (LAST[SB-1:0] - step);

    wire signed [CW-1:0] reduced = left - times(RESETS ? reset : threshold, step);
    wire signed [LW-1:0] left_now = hit && HARD == 0 ? reduced[LW-1:0] : left;
    wire signed [CW-1:0] counted = times(value, step);
    wire [PB-1:0] z_now = !hit ? z : z + (VALUES ? counted[PB-1:0] : level[PB-1:0]);
    // A hard reset needs to know whether there was a hit, which values of 0 do not show.
    reg fired;
    wire fired_now = fired || hit;

    wire signed [LW-1:0] rest = HARD != 0 && fired_now ? $signed(V_RESET) : left_now;
    localparam KB = KIND == 1 ? $clog2(KEPT + 1) + 1 : 1;
    wire signed [LW+KB-1:0] wide = rest;
    wire signed [LW+KB-1:0] end_ = KIND == 1 ? wide * $signed(KEPT) : KIND == 2 ? wide - (wide >>> SHIFT) : wide;
    assign after = end_[MB-1:0];
    assign lost  = end_ != {{(LW+KB-MB){after[MB-1]}}, after};
    assign sent  = z_now;

    always @(posedge clk) begin
        if (load) begin
            u     <= start;
            left  <= start;
            z     <= 0;
            fired <= 0;
        end else if (next) begin
            if (hit) u <= over[UB-1:0];
            left  <= left_now;
            z     <= z_now;
            fired <= fired_now;
        end
    end
endmodule
