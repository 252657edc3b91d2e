// One layer: accumulates events, sweeps its neurons at the end of a timestep, sends events.
// SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
//
// The parameters are capacities; what the layer is and does comes from its configuration words and
// memories, read during reset from l<id>_*.mem in the folder in which the simulation runs, and from
// the plan of the top.
//
// In each clock one tap and one group of channels, one in each bank, is updated. What the layer
// sends and, at the end of an inference, what its membranes hold is printed:
//   E <layer> <timestep> <channel> <row> <column> <payload>
//   V <layer> <row> <column> <channel> <potential>
//   C <layer> <accumulate clocks> <sweep clocks> <overflows>
`timescale 1ns/1ns
module spleat_layer #(
    parameter PORTS      = 1,
    parameter LANES      = 1,   // banks
    parameter WEIGHTS    = 1,   // words of weights, all banks and ports
    parameter CHANNELS   = 1,   // words of biases, all banks, as all that follow
    parameter THRESHOLDS = 1,
    parameter RESETS     = 1,
    parameter DECODES    = 1,
    parameter NEURONS    = 1,
    parameter SOURCES    = 1,   // totals of sources of running maxima
    parameter WINDOWS    = 1    // what was sent by running maxima
) (
    input  wire                clk,
    input  wire                rst,
    input  wire [31:0]         id,
    input  wire                used,
    input  wire [10*32-1:0]    fields,
    input  wire [31:0]         ports,
    input  wire [31:0]         bias_bits,
    input  wire [31:0]         threshold_bits,
    input  wire [31:0]         tdepth,
    input  wire [31:0]         rdepth,
    input  wire [31:0]         ddepth,
    input  wire                running,
    input  wire [PORTS-1:0]    in_valid,
    input  wire [PORTS*64-1:0] in_word,
    output reg  [PORTS-1:0]    in_ready,
    output wire                out_valid,
    output wire [63:0]         out_word,
    input  wire                out_ready,
    output reg  [31:0]         inferences
);
    localparam SPIKE = 0, END_STEP = 1, END_INFERENCE = 2;
    localparam IDLE = 0, TAP = 1, SWEEP = 2, EMIT = 3, EOS = 4, FINISH = 5;
    localparam MAXIMA = 2, RUNNING_MAXIMA = 4;

    // Memories, bank after bank; words are extended to 64 bits when they are read from files.
    reg        [31:0] cfg [0:PORTS*32-1];
    reg signed [63:0] w   [0:WEIGHTS-1];
    reg signed [63:0] b   [0:CHANNELS-1];
    reg signed [63:0] thr [0:THRESHOLDS-1];
    reg signed [63:0] rst_by [0:RESETS-1];
    reg signed [63:0] dec [0:DECODES-1];
    reg signed [63:0] v   [0:NEURONS-1];
    reg signed [63:0] v0  [0:NEURONS-1];
    // Of running maxima: what each source has sent in all, and what was sent for each window.
    reg signed [63:0] total [0:SOURCES-1];
    reg signed [63:0] told  [0:WINDOWS-1];

    // Configuration words of port 0 that describe the neurons.
    wire [31:0] layer_type = cfg[2];
    wire [31:0] cout = cfg[6], hout = cfg[7], wout = cfg[8];
    wire [31:0] lanes = cfg[16], groups_per_bank = cfg[17];
    wire [31:0] kind = cfg[18], shift = cfg[19];
    wire        hard = cfg[20][0];
    wire signed [31:0] v_reset = cfg[21];
    wire [31:0] most = cfg[22], timesteps = cfg[24];
    wire [31:0] weight_bits = cfg[25][7:0], membrane_bits = cfg[25][23:16];
    wire        barrier = cfg[25][28];
    wire        has_reset = cfg[25][29], has_decode = cfg[25][30];
    wire [31:0] kept = cfg[31];
    wire [31:0] vdepth = hout * wout * groups_per_bank;
    wire        maxima = layer_type == MAXIMA || layer_type == RUNNING_MAXIMA;

    // Where each port's weights begin in a bank, and words of weights in a bank.
    integer base [0:PORTS-1];
    integer wdepth;

    function signed [63:0] extended(input [63:0] value, input [31:0] bits);
        extended = $signed(value << (64 - bits)) >>> (64 - bits);
    endfunction

    reg [8*64-1:0] name;
    integer port, bank, words, slot;
    task load;
        begin
            for (port = 0; port < ports; port = port + 1) begin
                if (port == 0) $sformat(name, "l%0d_cfg.mem", id);
                else $sformat(name, "l%0dp%0d_cfg.mem", id, port);
                $readmemh(name, cfg, port * 32, port * 32 + 31);
                if (cfg[port*32] !== 32'h53504C31 || cfg[port*32+16] > LANES) begin
                    $display("FAULT layer %0d: configuration of port %0d", id, port);
                    $finish;
                end
            end
        end
    endtask
    function integer weights_of(input integer which);
        weights_of = (cfg[which*32+3] / cfg[which*32+15]) * cfg[which*32+9] * cfg[which*32+10] * cfg[17];
    endfunction
    task load_memories;
        begin
            words = 0;
            for (port = 0; port < ports; port = port + 1) begin
                base[port] = words;
                words = words + weights_of(port);
            end
            wdepth = words;
            for (bank = 0; bank < lanes; bank = bank + 1) begin
                for (port = 0; port < ports; port = port + 1) begin
                    if (port == 0) $sformat(name, "l%0d_w%0d.mem", id, bank);
                    else $sformat(name, "l%0dp%0d_w%0d.mem", id, port, bank);
                    slot = bank * wdepth + base[port];
                    $readmemh(name, w, slot, slot + weights_of(port) - 1);
                end
                $sformat(name, "l%0d_b%0d.mem", id, bank);
                $readmemh(name, b, bank * groups_per_bank, (bank + 1) * groups_per_bank - 1);
                $sformat(name, "l%0d_t%0d.mem", id, bank);
                $readmemh(name, thr, bank * tdepth, (bank + 1) * tdepth - 1);
                if (rdepth != 0) begin
                    $sformat(name, "l%0d_r%0d.mem", id, bank);
                    $readmemh(name, rst_by, bank * rdepth, (bank + 1) * rdepth - 1);
                end
                if (ddepth != 0) begin
                    $sformat(name, "l%0d_d%0d.mem", id, bank);
                    $readmemh(name, dec, bank * ddepth, (bank + 1) * ddepth - 1);
                end
                $sformat(name, "l%0d_v%0d.mem", id, bank);
                $readmemh(name, v0, bank * vdepth, (bank + 1) * vdepth - 1);
            end
            for (slot = 0; slot < lanes * wdepth; slot = slot + 1) w[slot] = extended(w[slot], weight_bits);
            for (slot = 0; slot < lanes * groups_per_bank; slot = slot + 1) b[slot] = extended(b[slot], bias_bits);
            for (slot = 0; slot < lanes * tdepth; slot = slot + 1) thr[slot] = extended(thr[slot], threshold_bits);
            for (slot = 0; slot < lanes * rdepth; slot = slot + 1) rst_by[slot] = extended(rst_by[slot], threshold_bits);
            for (slot = 0; slot < lanes * ddepth; slot = slot + 1) dec[slot] = extended(dec[slot], threshold_bits);
            for (slot = 0; slot < lanes * vdepth; slot = slot + 1) v0[slot] = extended(v0[slot], membrane_bits);
        end
    endtask
    task restart;
        begin
            for (slot = 0; slot < lanes * vdepth; slot = slot + 1) begin
                v[slot] = maxima ? 64'sd0 : v0[slot];
                if (running) told[slot] = 0;
            end
            if (running) for (slot = 0; slot < SOURCES; slot = slot + 1) total[slot] = 0;
        end
    endtask

    reg [2:0] state;
    reg [1:0] loaded;
    reg [PORTS-1:0] step_done, all_done;   // ports whose timestep, whose inference has ended
    integer turn;                          // port that is served
    integer steps_in [0:PORTS-1];          // timesteps taken in
    integer step;                          // timestep that is swept
    integer group, ky, kx, row, column;
    reg [31:0] ev_c, ev_y, ev_x;
    reg signed [63:0] ev_p;
    // What is sent: payloads of a group, those still pending, and where it is.
    reg [LANES-1:0] pending, found;
    reg [LANES*64-1:0] sent, payloads;
    integer sent_group, sent_row, sent_column, sent_step;
    reg [63:0] accumulate_clocks, sweep_clocks, overflows;

    // The port that is served next: the first that has a word and has not ended this timestep.
    integer pick, k;
    always @* begin
        pick = -1;
        in_ready = 0;
        for (k = PORTS - 1; k >= 0; k = k - 1)
            if (in_valid[k] && !step_done[k] && !all_done[k]) pick = k;
        if (state == IDLE && !rst && pick >= 0) in_ready[pick] = 1;
    end
    wire [PORTS-1:0] everyone = {PORTS{1'b1}} >> (PORTS - ports);

    // Fields of the event word.
    wire [31:0] type_lo = fields[0*32 +: 32], p_lo = fields[1*32 +: 32], p_bits = fields[2*32 +: 32];
    wire [31:0] c_lo = fields[3*32 +: 32], c_bits = fields[4*32 +: 32];
    wire [31:0] y_lo = fields[5*32 +: 32], y_bits = fields[6*32 +: 32];
    wire [31:0] x_lo = fields[7*32 +: 32], x_bits = fields[8*32 +: 32];
    wire        p_signed = fields[9*32];
    function [63:0] cut(input [63:0] value, input [31:0] low, input [31:0] bits);
        cut = (value >> low) & ~(~64'd0 << bits);
    endfunction
    function [63:0] put(input [63:0] value, input [31:0] low, input [31:0] bits);
        put = (value & ~(~64'd0 << bits)) << low;
    endfunction

    // The spike that is sent: the lowest pending channel of the group.
    integer lane, l;
    always @* begin
        lane = 0;
        for (l = LANES - 1; l >= 0; l = l - 1) if (pending[l]) lane = l;
    end
    wire [31:0] out_c = sent_group * lanes + lane;
    wire signed [63:0] out_p = sent[lane*64 +: 64];
    wire [63:0] spike_word = put(SPIKE, type_lo, 2) | put(out_p, p_lo, p_bits) | put(out_c, c_lo, c_bits)
        | put(sent_row, y_lo, y_bits) | put(sent_column, x_lo, x_bits);
    wire [63:0] mark_word = put(state == EOS ? END_STEP : END_INFERENCE, type_lo, 2);
    wire emits = state == EMIT && pending != 0;
    assign out_valid = used && !rst && (emits || state == EOS || state == FINISH);
    assign out_word  = emits ? spike_word : mark_word;

    function integer place(input integer y, input integer x, input integer j);
        place = (y * wout + x) * groups_per_bank + j;
    endfunction

    // One tap of one group of channels.
    integer dy, dx, yo, xo, n, co, ci, local_ci, at, from, i;
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
            for (n = 0; n < lanes; n = n + 1) begin
                co = group * lanes + n;
                at = n * vdepth + place(yo, xo, group);
                if (co < cout && co / (cout / cfg[turn*32+15]) == ci / (cfg[turn*32+3] / cfg[turn*32+15])) begin
                    if (maxima) begin
                        if (ev_p > v[at]) v[at] = ev_p;
                    end else begin
                        i = n * wdepth + base[turn] + ((local_ci * cfg[turn*32+9] + ky) * cfg[turn*32+10] + kx) * groups_per_bank + group;
                        sum = v[at] + w[i] * ev_p;
                        keep;
                    end
                end
            end
        end
    endtask
    // Stores sum in the membrane's bits, and counts when they cannot hold it.
    task keep;
        begin
            v[at] = extended(sum, membrane_bits);
            if (v[at] !== sum) overflows = overflows + 1;
        end
    endtask
    // Adds an event to the total of its source, which then takes its place.
    task add_up;
        begin
            from = (ev_y * cfg[5] + ev_x) * cout + ev_c;
            total[from] = total[from] + ev_p;
            ev_p = total[from];
        end
    endtask

    // The neurons of one group at one place.
    reg signed [63:0] u, z, t_now, p_now;
    task fire;
        begin
            for (n = 0; n < lanes; n = n + 1) begin
                co = group * lanes + n;
                at = n * vdepth + place(row, column, group);
                p_now = 0;
                if (co < cout) begin
                    if (running) begin
                        p_now = v[at] - told[at];
                        told[at] = v[at];
                    end else if (maxima) begin
                        p_now = v[at];
                        v[at] = 0;
                    end else begin
                        u = v[at];
                        if (!barrier || step == 0) u = u + b[n*groups_per_bank+group];
                        if (kind == 1) u = u >>> shift;
                        if (kind != 3) begin
                            t_now = thr[n*tdepth + (tdepth > groups_per_bank ? step * groups_per_bank : 0) + group];
                            if (most == 1) z = u >= t_now ? 1 : 0;
                            else if (u < t_now) z = 0;
                            else begin
                                z = u / t_now;
                                if (z > most) z = most;
                            end
                            if (z != 0) begin
                                if (hard) u = v_reset;
                                else if (has_reset) u = u - z * rst_by[n*rdepth + (rdepth > groups_per_bank ? step * groups_per_bank : 0) + group];
                                else u = u - z * t_now;
                            end
                            p_now = has_decode ? z * dec[n*ddepth + (ddepth > groups_per_bank ? step * groups_per_bank : 0) + group] : z;
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
                        $display("V %0d %0d %0d %0d %0d", id, row, column, co,
                                 v[(co % lanes) * vdepth + place(row, column, co / lanes)]);
            $display("C %0d %0d %0d %0d", id, accumulate_clocks, sweep_clocks, overflows);
        end
    endtask

    task next_group;
        begin
            state <= SWEEP;
            if (group + 1 < groups_per_bank) group = group + 1;
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

    // A word at the port `pick`.
    reg [63:0] word;
    reg [PORTS-1:0] ended;
    task take;
        begin
            turn = pick;
            word = in_word[pick*64 +: 64];
            case (cut(word, type_lo, 2))
                SPIKE: begin
                    ev_p = cut(word, p_lo, p_bits);
                    if (p_signed) ev_p = extended(ev_p, p_bits);
                    ev_c = cut(word, c_lo, c_bits);
                    ev_y = cut(word, y_lo, y_bits);
                    ev_x = cut(word, x_lo, x_bits);
                    if (running) add_up;
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
                    steps_in[pick] = steps_in[pick] + 1;
                    // Behind a barrier each port takes all its timesteps without the others: a
                    // port that waited could keep a branch before both from going on.
                    ended = step_done;
                    ended[pick] = !barrier || steps_in[pick] == timesteps;
                    step_done <= ended;
                    if (ended == everyone) begin
                        step = barrier ? 0 : steps_in[pick] - 1;
                        group = 0; row = 0; column = 0;
                        state <= SWEEP;
                    end
                end
                default: begin
                    all_done[pick] <= 1;
                    if ((all_done | (1 << pick)) == everyone) begin
                        dump;
                        row = 0; column = 0;
                        state <= FINISH;
                    end
                end
            endcase
        end
    endtask

    initial loaded = 0;
    always @(posedge clk) begin
        if (rst) begin
            // One clock for the configuration, one for the memories that it describes.
            if (used && loaded == 0) load;
            if (used && loaded == 1) begin
                if (!maxima) load_memories;
                restart;
            end
            if (loaded != 2) loaded <= loaded + 1;
            state <= IDLE;
            step_done <= 0;
            all_done <= 0;
            for (i = 0; i < PORTS; i = i + 1) steps_in[i] = 0;
            step = 0;
            group = 0; row = 0; column = 0; ky = 0; kx = 0; turn = 0;
            pending <= 0;
            inferences <= 0;
            accumulate_clocks = 0; sweep_clocks = 0; overflows = 0;
        end else case (state)
            IDLE: if (pick >= 0) take;
            TAP: begin
                accumulate_clocks = accumulate_clocks + 1;
                locate;
                if (valid) accumulate;
                if (valid && group + 1 < groups_per_bank) group = group + 1;
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
                found = 0;
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
                    $display("E %0d %0d %0d %0d %0d %0d", id, sent_step, out_c, sent_row, sent_column, out_p);
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
                restart;
                step_done <= 0;
                all_done <= 0;
                for (i = 0; i < PORTS; i = i + 1) steps_in[i] = 0;
                inferences <= inferences + 1;
                state <= IDLE;
            end
        endcase
    end
endmodule
