// One layer: accumulates events, sweeps its neurons at the end of a timestep, sends events.
// SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
//
// The parameters are the sizes of the memories and of the event word, which are needed to build
// the arrays; all that the layer does comes from its configuration words, read at time 0 from
// l<ID>_cfg.mem. The files are looked up in the folder in which the simulation runs.
//
// In each clock one tap and one group of channels, P of them, is updated. What the layer sends and,
// at the end of an inference, what its membranes hold is printed:
//   E <layer> <timestep> <channel> <row> <column> <payload>
//   V <layer> <row> <column> <channel> <potential>
//   C <layer> <accumulate clocks> <sweep clocks> <overflows>
module spleat_layer #(
    parameter ID      = 0,
    parameter PORTS   = 1,
    parameter P       = 1,
    parameter CPB     = 1,
    parameter WDEPTH  = 1,   // words of weights in a bank, all ports
    parameter VDEPTH  = 1,
    parameter TDEPTH  = 1,
    parameter RDEPTH  = 0,
    parameter DDEPTH  = 0,
    parameter WW      = 16,  // bits of weights
    parameter BW      = 32,
    parameter TW      = 32,
    parameter VW      = 32,
    parameter AW      = 48,  // bits of an event word, then each field's lowest bit and bits
    parameter TYPE_LO = 46,
    parameter P_LO    = 34,
    parameter P_BITS  = 12,
    parameter P_SIGNED = 1,
    parameter C_LO    = 22,
    parameter C_BITS  = 12,
    parameter Y_LO    = 11,
    parameter Y_BITS  = 11,
    parameter X_LO    = 0,
    parameter X_BITS  = 11
) (
    input  wire                clk,
    input  wire                rst,
    input  wire [PORTS-1:0]    in_valid,
    input  wire [PORTS*AW-1:0] in_word,
    output wire [PORTS-1:0]    in_ready,
    output wire                out_valid,
    output wire [AW-1:0]       out_word,
    input  wire                out_ready,
    output reg  [31:0]         inferences
);
    localparam SPIKE = 0, END_STEP = 1, END_INFERENCE = 2;
    localparam IDLE = 0, TAP = 1, SWEEP = 2, EMIT = 3, EOS = 4, FINISH = 5;
    localparam RD = RDEPTH > 0 ? RDEPTH : 1;
    localparam DD = DDEPTH > 0 ? DDEPTH : 1;

    // Memories, bank after bank.
    reg        [31:0]   cfg [0:PORTS*32-1];
    reg signed [WW-1:0] w   [0:P*WDEPTH-1];
    reg signed [BW-1:0] b   [0:P*CPB-1];
    reg signed [TW-1:0] thr [0:P*TDEPTH-1];
    reg signed [TW-1:0] rst_by [0:P*RD-1];
    reg signed [TW-1:0] dec [0:P*DD-1];
    reg signed [VW-1:0] v   [0:P*VDEPTH-1];
    reg signed [VW-1:0] v0  [0:P*VDEPTH-1];

    // Configuration words of port 0 that describe the neurons.
    wire [31:0] layer_type = cfg[2];
    wire [31:0] cout = cfg[6], hout = cfg[7], wout = cfg[8];
    wire [31:0] kind = cfg[18], shift = cfg[19];
    wire        hard = cfg[20][0];
    wire signed [31:0] v_reset = cfg[21];
    wire [31:0] most = cfg[22], timesteps = cfg[24];
    wire        barrier = cfg[25][28];
    wire        has_reset = cfg[25][29], has_decode = cfg[25][30];
    wire [31:0] kept = cfg[31];

    // Where each port's weights begin in a bank.
    integer base [0:PORTS-1];

    reg [8*64-1:0] name;
    integer port, bank, words, slot;
    initial begin
        for (port = 0; port < PORTS; port = port + 1) begin
            if (port == 0) $sformat(name, "l%0d_cfg.mem", ID);
            else $sformat(name, "l%0dp%0d_cfg.mem", ID, port);
            $readmemh(name, cfg, port * 32, port * 32 + 31);
            if (cfg[port*32] !== 32'h53504C31 || cfg[port*32+16] !== P || cfg[port*32+17] !== CPB) begin
                $display("FAULT layer %0d: configuration of port %0d", ID, port);
                $finish;
            end
        end
        if (cfg[2] == 2) begin
            for (slot = 0; slot < P * VDEPTH; slot = slot + 1) v0[slot] = 0;
        end else begin
            words = 0;
            for (port = 0; port < PORTS; port = port + 1) begin
                base[port] = words;
                slot = (cfg[port*32+3] / cfg[port*32+15]) * cfg[port*32+9] * cfg[port*32+10] * CPB;
                for (bank = 0; bank < P; bank = bank + 1) begin
                    if (port == 0) $sformat(name, "l%0d_w%0d.mem", ID, bank);
                    else $sformat(name, "l%0dp%0d_w%0d.mem", ID, port, bank);
                    $readmemh(name, w, bank * WDEPTH + words, bank * WDEPTH + words + slot - 1);
                end
                words = words + slot;
            end
            for (bank = 0; bank < P; bank = bank + 1) begin
                $sformat(name, "l%0d_b%0d.mem", ID, bank);
                $readmemh(name, b, bank * CPB, bank * CPB + CPB - 1);
                $sformat(name, "l%0d_t%0d.mem", ID, bank);
                $readmemh(name, thr, bank * TDEPTH, bank * TDEPTH + TDEPTH - 1);
                if (RDEPTH > 0) begin
                    $sformat(name, "l%0d_r%0d.mem", ID, bank);
                    $readmemh(name, rst_by, bank * RD, bank * RD + RD - 1);
                end
                if (DDEPTH > 0) begin
                    $sformat(name, "l%0d_d%0d.mem", ID, bank);
                    $readmemh(name, dec, bank * DD, bank * DD + DD - 1);
                end
                $sformat(name, "l%0d_v%0d.mem", ID, bank);
                $readmemh(name, v0, bank * VDEPTH, bank * VDEPTH + VDEPTH - 1);
            end
        end
        for (slot = 0; slot < P * VDEPTH; slot = slot + 1) v[slot] = v0[slot];
    end

    reg [2:0] state;
    reg [PORTS-1:0] step_done, all_done;   // ports whose timestep, whose inference has ended
    integer turn;                          // port that is served
    integer steps_in, step;                // timesteps taken in, timestep that is swept
    integer group, ky, kx, row, column;
    reg [31:0] ev_c, ev_y, ev_x;
    reg signed [P_BITS:0] ev_p;
    // What is sent: payloads of a group, those still pending, and where it is.
    reg [P-1:0] pending, found;
    reg [P*64-1:0] sent, payloads;
    integer sent_group, sent_row, sent_column, sent_step;
    reg [63:0] accumulate_clocks, sweep_clocks, overflows;

    // The port that is served next: the first that has a word and has not ended this timestep.
    integer pick, k;
    always @* begin
        pick = -1;
        for (k = PORTS - 1; k >= 0; k = k - 1)
            if (in_valid[k] && !step_done[k] && !all_done[k]) pick = k;
    end
    genvar g;
    generate
        for (g = 0; g < PORTS; g = g + 1) begin : ready
            assign in_ready[g] = state == IDLE && !rst && pick == g;
        end
    endgenerate

    // The spike that is sent: the lowest pending channel of the group.
    integer lane, l;
    always @* begin
        lane = 0;
        for (l = P - 1; l >= 0; l = l - 1) if (pending[l]) lane = l;
    end
    wire [31:0] out_c = sent_group * P + lane;
    wire signed [63:0] out_p = sent[lane*64 +: 64];
    reg [AW-1:0] spike_word;
    always @* begin
        spike_word = 0;
        spike_word[TYPE_LO +: 2] = SPIKE;
        spike_word[P_LO +: P_BITS] = out_p;
        spike_word[C_LO +: C_BITS] = out_c;
        spike_word[Y_LO +: Y_BITS] = sent_row;
        spike_word[X_LO +: X_BITS] = sent_column;
    end
    reg [AW-1:0] mark_word;
    always @* begin
        mark_word = 0;
        mark_word[TYPE_LO +: 2] = state == EOS ? END_STEP : END_INFERENCE;
    end
    wire emits = state == EMIT && pending != 0;
    assign out_valid = emits || state == EOS || state == FINISH;
    assign out_word  = emits ? spike_word : mark_word;

    function integer place(input integer y, input integer x, input integer j);
        place = (y * wout + x) * CPB + j;
    endfunction

    // One tap of one group of channels.
    integer dy, dx, yo, xo, n, co, ci, local_ci, at, i;
    reg valid;
    reg signed [63:0] sum;
    task locate;
        begin
            dy = ev_y + cfg[turn*32+13] - ky * cfg[turn*32+29][31:16];
            dx = ev_x + cfg[turn*32+14] - kx * cfg[turn*32+29][15:0];
            valid = dy >= 0 && dx >= 0;
            if (valid) begin
                yo = dy / cfg[turn*32+11];
                xo = dx / cfg[turn*32+12];
                valid = yo * cfg[turn*32+11] == dy && xo * cfg[turn*32+12] == dx && yo < hout && xo < wout;
            end
        end
    endtask
    task accumulate;
        begin
            ci = ev_c;
            local_ci = ci % (cfg[turn*32+3] / cfg[turn*32+15]);
            for (n = 0; n < P; n = n + 1) begin
                co = group * P + n;
                at = n * VDEPTH + place(yo, xo, group);
                if (co < cout && co / (cout / cfg[turn*32+15]) == ci / (cfg[turn*32+3] / cfg[turn*32+15])) begin
                    if (layer_type == 2) begin
                        if (ev_p > v[at]) v[at] = ev_p;
                    end else begin
                        i = n * WDEPTH + base[turn] + ((local_ci * cfg[turn*32+9] + ky) * cfg[turn*32+10] + kx) * CPB + group;
                        sum = v[at] + w[i] * ev_p;
                        keep;
                    end
                end
            end
        end
    endtask
    // Stores sum, and counts when the membrane cannot hold it.
    task keep;
        begin
            v[at] = sum;
            if (v[at] !== sum) overflows = overflows + 1;
        end
    endtask

    // The neurons of one group at one place.
    reg signed [63:0] u, z, t_now, p_now;
    task fire;
        begin
            for (n = 0; n < P; n = n + 1) begin
                co = group * P + n;
                at = n * VDEPTH + place(row, column, group);
                p_now = 0;
                if (co < cout) begin
                    if (layer_type == 2) begin
                        p_now = v[at];
                        v[at] = 0;
                    end else begin
                        u = v[at];
                        if (!barrier || step == 0) u = u + b[n*CPB+group];
                        if (kind == 1) u = u >>> shift;
                        if (kind != 3) begin
                            t_now = thr[n*TDEPTH + (TDEPTH > CPB ? step * CPB : 0) + group];
                            if (most == 1) z = u >= t_now ? 1 : 0;
                            else if (u < t_now) z = 0;
                            else begin
                                z = u / t_now;
                                if (z > most) z = most;
                            end
                            if (z != 0) begin
                                if (hard) u = v_reset;
                                else if (has_reset) u = u - z * rst_by[n*RD + (RDEPTH > CPB ? step * CPB : 0) + group];
                                else u = u - z * t_now;
                            end
                            p_now = has_decode ? z * dec[n*DD + (DDEPTH > CPB ? step * CPB : 0) + group] : z;
                        end
                        if (kind == 1) u = u * $signed({32'd0, kept});
                        if (kind == 2) u = u - (u >>> shift);
                        sum = u;
                        keep;
                    end
                end
                found[n] = p_now != 0;
                payloads[n*64 +: 64] = p_now;
            end
        end
    endtask

    task dump;
        begin
            for (row = 0; row < hout; row = row + 1)
                for (column = 0; column < wout; column = column + 1)
                    for (co = 0; co < cout; co = co + 1)
                        $display("V %0d %0d %0d %0d %0d", ID, row, column, co,
                                 v[(co % P) * VDEPTH + place(row, column, co / P)]);
            $display("C %0d %0d %0d %0d", ID, accumulate_clocks, sweep_clocks, overflows);
        end
    endtask

    task next_group;
        begin
            state <= SWEEP;
            if (group + 1 < CPB) group = group + 1;
            else begin
                group = 0;
                column = column + 1;
                if (column == wout) begin
                    column = 0;
                    row = row + 1;
                    if (row == hout) begin
                        row = 0;
                        state <= EOS;
                    end
                end
            end
        end
    endtask

    reg [AW-1:0] word;
    always @(posedge clk) begin
        if (rst) begin
            state <= IDLE;
            step_done <= 0;
            all_done <= 0;
            steps_in = 0;
            step = 0;
            group = 0; row = 0; column = 0; ky = 0; kx = 0; turn = 0;
            pending <= 0;
            inferences <= 0;
            accumulate_clocks = 0; sweep_clocks = 0; overflows = 0;
        end else case (state)
            IDLE: if (pick >= 0) begin
                turn = pick;
                word = in_word[pick*AW +: AW];
                case (word[TYPE_LO +: 2])
                    SPIKE: begin
                        ev_p = P_SIGNED != 0 ? $signed(word[P_LO +: P_BITS]) : $signed({1'b0, word[P_LO +: P_BITS]});
                        ev_c = word[C_LO +: C_BITS];
                        ev_y = word[Y_LO +: Y_BITS];
                        ev_x = word[X_LO +: X_BITS];
                        if (cfg[pick*32+26] != 0) begin
                            // A dense layer behind a map: place in event order.
                            ev_c = (ev_y * cfg[pick*32+28] + ev_x) * cfg[pick*32+27] + ev_c;
                            ev_y = 0;
                            ev_x = 0;
                        end
                        ky = 0; kx = 0; group = 0;
                        state <= TAP;
                    end
                    END_STEP: begin
                        step_done[pick] <= 1;
                        if ((step_done | (1 << pick)) == {PORTS{1'b1}}) begin
                            steps_in = steps_in + 1;
                            if (barrier && steps_in < timesteps) step_done <= 0;
                            else begin
                                step = barrier ? 0 : steps_in - 1;
                                group = 0; row = 0; column = 0;
                                state <= SWEEP;
                            end
                        end
                    end
                    default: begin
                        all_done[pick] <= 1;
                        if ((all_done | (1 << pick)) == {PORTS{1'b1}}) begin
                            dump;
                            row = 0; column = 0;
                            state <= FINISH;
                        end
                    end
                endcase
            end
            TAP: begin
                accumulate_clocks = accumulate_clocks + 1;
                locate;
                if (valid) accumulate;
                if (valid && group + 1 < CPB) group = group + 1;
                else begin
                    group = 0;
                    kx = kx + 1;
                    if (kx == cfg[turn*32+10]) begin
                        kx = 0;
                        ky = ky + 1;
                        if (ky == cfg[turn*32+9]) state <= IDLE;
                    end
                end
            end
            SWEEP: begin
                sweep_clocks = sweep_clocks + 1;
                fire;
                pending <= found;
                sent <= payloads;
                sent_group <= group;
                sent_row <= row;
                sent_column <= column;
                sent_step <= step;
                state <= EMIT;
            end
            EMIT: begin
                // A clock that waits for room is not counted.
                if (pending == 0) begin
                    sweep_clocks = sweep_clocks + 1;
                    next_group;
                end else if (out_ready) begin
                    sweep_clocks = sweep_clocks + 1;
                    $display("E %0d %0d %0d %0d %0d %0d", ID, sent_step, out_c, sent_row, sent_column, out_p);
                    pending[lane] <= 0;
                end
            end
            EOS: if (out_ready) begin
                if (barrier && step + 1 < timesteps) begin
                    step = step + 1;
                    state <= SWEEP;
                end else begin
                    step_done <= 0;
                    state <= IDLE;
                end
            end
            default: if (out_ready) begin
                for (i = 0; i < P * VDEPTH; i = i + 1) v[i] = v0[i];
                step_done <= 0;
                all_done <= 0;
                steps_in = 0;
                inferences <= inferences + 1;
                state <= IDLE;
            end
        endcase
    end
endmodule
