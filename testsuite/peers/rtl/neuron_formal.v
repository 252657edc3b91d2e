// The neuron of the core against the arithmetic of the image format, for all numbers and all time.
// SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
module neuron_formal #(
    parameter KIND = 0, SHIFT = 0, KEPT = 1, HARD = 0, V_RESET = 0, MOST = 1, RESETS = 0, VALUES = 0,
    parameter MB = 5, BB = 4, TB = 4, PB = 5
) (
    input wire clk,
    input wire wait_,
    input wire signed [MB-1:0] potential,
    input wire signed [BB-1:0] bias,
    input wire signed [TB-1:0] threshold, reset, value
);
    localparam K = $clog2(MOST + 2) - 1;
    localparam STEPS = KIND == 3 ? 1 : K + (MOST + 1 > (1 << K) ? 1 : 0);
    localparam SB = STEPS > 1 ? $clog2(STEPS) : 1;
    localparam [31:0] LAST = STEPS - 1;

    // Neurons follow each other, the next being loaded in the last clock of the one before.
    reg [SB-1:0] step = 0;
    reg signed [MB-1:0] v;
    reg signed [BB-1:0] b;
    reg signed [TB-1:0] t, r, d;
    reg loaded = 0;
    wire signed [MB-1:0] after;
    wire [PB-1:0] sent;
    // A clock without room behind: the neuron keeps what it has. One such clock stands for many, which the last
    // assertion shows.
    reg waited = 0;
    wire last = step == LAST[SB-1:0] && (!wait_ || waited);
    reg signed [MB-1:0] after_before;
    reg [PB-1:0] sent_before;
    always @(posedge clk) begin
        waited <= loaded && step == LAST[SB-1:0] && !last;
        after_before <= after;
        sent_before  <= sent;
        if (waited) assert (after == after_before && sent == sent_before);
    end
    always @(posedge clk) begin
        if (last) begin
            step   <= 0;
            v      <= potential;
            b      <= bias;
            t      <= threshold;
            r      <= reset;
            d      <= value;
            loaded <= 1;
        end else if (step != LAST[SB-1:0]) step <= step + 1'b1;
        if (MOST > 1) assume (threshold > 0);
    end
    wire lost;
    spleat_neuron #(.KIND(KIND), .SHIFT(SHIFT), .KEPT(KEPT), .HARD(HARD), .V_RESET(V_RESET), .MOST(MOST), .RESETS(RESETS),
        .VALUES(VALUES), .MB(MB), .BB(BB), .TB(TB), .PB(PB), .SB(SB)) dut (.clk(clk), .load(last),
        .next(!last && step != LAST[SB-1:0]), .step(step), .potential(potential), .bias(bias), .threshold(t),
        .reset(r), .value(d), .after(after), .sent(sent), .lost(lost));

    // The page's words: levels are counted one by one, everything in 32 bits.
    integer k;
    reg signed [31:0] u, z, left, end_;
    always @* begin
        u = v + b;
        if (KIND == 1) u = u >>> SHIFT;
        z = 0;
        if (KIND != 3) for (k = 1; k <= MOST; k = k + 1) if (u >= k * t) z = z + 1;
        left = u;
        if (z > 0) left = HARD ? V_RESET : u - z * (RESETS ? r : t);
        end_ = KIND == 1 ? left * KEPT : KIND == 2 ? left - (left >>> SHIFT) : left;
    end
    wire fits = end_ >= -(1 << (MB - 1)) && end_ < (1 << (MB - 1));
    wire signed [31:0] counted = VALUES ? z * d : z;
    always @(posedge clk) if (loaded && last) begin
        assert (lost == !fits);
        if (fits) assert (after == end_);
        assert (sent == counted[PB-1:0]);
    end
    // So that induction begins in states that there are.
    always @(posedge clk) begin
        assert (step <= LAST[SB-1:0]);
        if (loaded && MOST > 1) assert (t > 0);
    end
endmodule
