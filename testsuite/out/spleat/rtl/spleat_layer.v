// One layer: takes events in, sweeps its neurons at the end of a timestep, sends events.
// SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
//
// What the layer is stands in its parameters, which are the configuration words of the image; weights,
// biases and tables come from the image's files. Words are {type, payload, c, y, x}, each field as
// wide as it must be. A layer whose potentials are the answer sends them in its last sweep, {potential}
// alone, and no ends.
//
// An event passes E (taken from a FIFO), D (where it leads) and A (one tap and one group of channels in
// each clock). A sweep goes through all groups: read, add the bias, then as many clocks as the
// levels have bits; spikes leave one in each clock. In its last sweep of an inference the initial
// potentials are left behind. With the macro SPLEAT_TRACE it prints
//   E <layer> <timestep> <channel> <row> <column> <payload>
//   V <layer> <row> <column> <channel> <potential>          at the end of an inference
//   C <layer> <clock> <taps and groups> <overflows>         at the end of an inference
`timescale 1ns/1ns
module spleat_layer #(
    parameter ID    = 0,
    parameter NAME  = "l0",
    parameter LANES = 1,            // banks
    parameter PORTS = 1,
    // Of each port, 32 bits for each.
    parameter [PORTS*32-1:0] CIN = 1, HIN = 1, WIN = 1, KH = 1, KW = 1, SY = 1, SX = 1, PT = 0, PL = 0,
    parameter [PORTS*32-1:0] DY = 1, DX = 1, CHANNEL_GROUPS = 1, DENSE = 0,
    parameter COUT = 1, HOUT = 1, WOUT = 1,
    parameter TYPE = 0,             // 0 neurons, 1 maxima, 2 maxima of running totals
    parameter KIND = 0, SHIFT = 0, KEPT = 1, HARD = 0, V_RESET = 0, MOST = 1,
    parameter T = 1, BARRIER = 0, READOUT = 0,
    parameter WB = 2, BB = 1, TB = 2, MB = 8,
    parameter TDEPTH = 1, RDEPTH = 0, DDEPTH = 0,
    parameter [((COUT+LANES-1)/LANES)*LANES*MB-1:0] INITIAL = 0,
    // Fields of the words.
    parameter PB = 1, SIGNED = 0, BINARY = 0, CB = 1, YB = 1, XB = 1,
    parameter OPB = 1, OCB = 1, OYB = 1, OXB = 1
) (
    input  wire                            clk,
    input  wire                            rst,
    input  wire [PORTS-1:0]                in_valid,
    input  wire [PORTS*(2+PB+CB+YB+XB)-1:0] in_word,
    output wire [PORTS-1:0]                in_ready,
    output wire                            out_valid,
    output wire [(READOUT ? OPB+1 : 2+OPB+OCB+OYB+OXB)-1:0] out_word,
    input  wire                            out_ready,
    output reg                             overflow     // a sum did not fit its membrane; until reset
);
    localparam SPIKE = 2'd0, END_STEP = 2'd1, END_INFERENCE = 2'd2;
    localparam GROUPS = (COUT + LANES - 1) / LANES;     // of a bank, for one place
    localparam VDEPTH = HOUT * WOUT * GROUPS;
    localparam IB = 2 + PB + CB + YB + XB;

    function integer bits(input integer count);
        bits = count > 1 ? $clog2(count) : 1;
    endfunction
    function integer wdepth(input integer q);
        wdepth = CIN[32*q +: 32] / CHANNEL_GROUPS[32*q +: 32] * KH[32*q +: 32] * KW[32*q +: 32] * GROUPS
            * (DENSE[32*q +: 32] ? HIN[32*q +: 32] * WIN[32*q +: 32] : 1);
    endfunction
    function integer most(input integer which);     // over all ports
        integer q, found;
        begin
            most = 1;
            for (q = 0; q < PORTS; q = q + 1) begin
                found = which == 0 ? wdepth(q) : KH[32*q +: 32] > KW[32*q +: 32] ? KH[32*q +: 32] : KW[32*q +: 32];
                if (found > most) most = found;
            end
        end
    endfunction
    function [PORTS*32-1:0] wdepths(input integer unused);
        integer q;
        begin
            wdepths = 0;
            for (q = 0; q < PORTS; q = q + 1) wdepths[32*q +: 32] = wdepth(q);
        end
    endfunction
    function integer largest(input integer a, input integer b);
        largest = a > b ? a : b;
    endfunction

    localparam WA = bits(most(0));
    localparam NB = bits(most(1) + 1);
    localparam VA = bits(VDEPTH);
    localparam GB = bits(GROUPS);
    localparam LB = bits(LANES);
    localparam QB = bits(PORTS);
    localparam TA = bits(largest(largest(TDEPTH, GROUPS), largest(RDEPTH, DDEPTH)));
    localparam SPB = SIGNED ? PB : PB + 1;              // a payload with its sign
    localparam PX = TYPE == 2 ? MB : SPB;               // what is added or compared
    localparam SOURCES = CIN[31:0] * HIN[31:0] * WIN[31:0];
    localparam SA = bits(SOURCES);
    localparam K = $clog2(MOST + 2) - 1;
    localparam STEPS = TYPE != 0 || KIND == 3 ? 1 : K + (MOST + 1 > (1 << K) ? 1 : 0);
    localparam SB = bits(STEPS);
    localparam TIME = bits(T);
    localparam CLEARED = TYPE == 2 ? largest(VDEPTH, SOURCES) : VDEPTH;
    localparam CA = bits(CLEARED);
    localparam [31:0] LAST_PLACE = VDEPTH - 1, LAST_GROUP = GROUPS - 1, LAST_STEP = STEPS - 1, LAST_T = T - 1;
    localparam [31:0] LAST_CLEARED = CLEARED - 1, LAST_SOURCE = SOURCES - 1, LAST_ROW = HOUT - 1, LAST_COLUMN = WOUT - 1;
    localparam [31:0] EACH_GROUP = LANES;

    localparam CLEAR = 3'd0, TAKE = 3'd1, SWEEP = 3'd2, MARK = 3'd3, FINISH = 3'd4;
    reg [2:0] state;
    reg  [TIME-1:0] step;           // timestep that is swept
    reg  [LANES-1:0] pending;       // banks whose spikes have not left
    reg  e_valid, e_last;           // a word in E, and whether it is the end for all ports
    wire quiet;                     // all taps have been added
    wire last_sweep = step == LAST_T[TIME-1:0];
    wire again  = BARRIER != 0 && !last_sweep;
    wire out_go = out_ready || (KIND == 3 && TYPE == 0);    // read-outs send no ends

    // ---- E: a word of the first port that has one and whose timestep has not ended.
    reg  [PORTS-1:0] waits;         // ports whose timestep, or inference, has ended
    reg  [PORTS-1:0] over;          // ports whose inference has ended
    reg  [PORTS*TIME-1:0] taken;    // timesteps taken in, with a barrier
    reg  [QB-1:0]    e_port;
    reg  [IB-1:0]    e_word;
    wire [1:0]       e_type = e_word[IB-1 -: 2];
    wire             e_leaves;

    reg  [QB-1:0] pick;
    reg           picked;
    integer       k;
    always @* begin
        pick = 0;
        picked = 0;
        for (k = PORTS - 1; k >= 0; k = k - 1)
            if (in_valid[k] && !waits[k]) begin
                pick = k[QB-1:0];
                picked = 1;
            end
    end
    wire take = picked && state == TAKE && (!e_valid || e_leaves);
    wire [PORTS-1:0] one = 1;
    wire [PORTS-1:0] chosen = one << pick;
    assign in_ready = take ? chosen : {PORTS{1'b0}};
    wire [IB-1:0] word = in_word[pick*IB +: IB];
    wire [1:0]    kind = word[IB-1 -: 2];
    wire [TIME-1:0] steps = taken[pick*TIME +: TIME];
    // Behind a barrier each port takes all its timesteps without the others: one that waited could
    // keep a branch before both from going on.
    wire ends = kind == END_INFERENCE || (kind == END_STEP && (BARRIER == 0 || steps == LAST_T[TIME-1:0]));
    wire all  = ((kind == END_INFERENCE ? over : waits) | chosen) == {PORTS{1'b1}};
    wire closes = state == MARK && out_go && !again;
    wire restarts = state == FINISH && out_go;

    always @(posedge clk) begin
        if (rst) begin
            e_valid <= 0;
            waits   <= 0;
            over    <= 0;
            taken   <= 0;
        end else begin
            if (take) begin
                e_valid <= 1;
                if (ends) waits[pick] <= 1;
                if (kind == END_INFERENCE) over[pick] <= 1;
                if (kind == END_STEP && BARRIER != 0)
                    taken[pick*TIME +: TIME] <= ends ? {TIME{1'b0}} : steps + 1'b1;
            end else if (e_leaves) e_valid <= 0;
            if (closes) waits <= over;
            if (restarts) begin
                waits <= 0;
                over  <= 0;
            end
        end
        if (take) begin
            e_word <= word;
            e_port <= pick;
            e_last <= ends && all;
        end
    end

    // ---- D: where it leads.
    wire [XB-1:0] e_x = e_word[0 +: XB];
    wire [YB-1:0] e_y = e_word[XB +: YB];
    wire [CB-1:0] e_c = e_word[XB+YB +: CB];
    wire [PB-1:0] e_p = e_word[XB+YB+CB +: PB];
    wire signed [SPB-1:0] e_signed = SIGNED ? e_p : {1'b0, e_p};
    localparam DB = 2*NB + 2*WA + VA + 2*GB + 2*LB;
    wire [PORTS*DB-1:0] leads;
    genvar q;
    generate
        for (q = 0; q < PORTS; q = q + 1) begin : port
            wire [NB-1:0] rows, columns;
            wire [WA-1:0] weight_c, weight_yx;
            wire [VA-1:0] potential;
            wire [GB-1:0] first, last;
            wire [LB-1:0] low, high;
            spleat_port #(.CIN(CIN[32*q +: 32]), .HIN(HIN[32*q +: 32]), .WIN(WIN[32*q +: 32]),
                .COUT(COUT), .HOUT(HOUT), .WOUT(WOUT), .KH(KH[32*q +: 32]), .KW(KW[32*q +: 32]),
                .SY(SY[32*q +: 32]), .SX(SX[32*q +: 32]), .PT(PT[32*q +: 32]), .PL(PL[32*q +: 32]),
                .DY(DY[32*q +: 32]), .DX(DX[32*q +: 32]), .CHANNEL_GROUPS(CHANNEL_GROUPS[32*q +: 32]),
                .DENSE(DENSE[32*q +: 32]), .LANES(LANES), .GROUPS(GROUPS), .CB(CB), .YB(YB), .XB(XB),
                .NB(NB), .WA(WA), .VA(VA), .GB(GB), .LB(LB)) port (
                .c(e_c), .y(e_y), .x(e_x), .rows(rows), .columns(columns), .weight_c(weight_c),
                .weight_yx(weight_yx), .potential(potential), .first(first), .last(last), .low(low), .high(high));
            assign leads[q*DB +: DB] = {rows, columns, weight_c, weight_yx, potential, first, last, low, high};
        end
    endgenerate
    wire [NB-1:0] l_rows, l_columns;
    wire [WA-1:0] l_weight_c, l_weight_yx;
    wire [VA-1:0] l_potential;
    wire [GB-1:0] l_first, l_last;
    wire [LB-1:0] l_low, l_high;
    assign {l_rows, l_columns, l_weight_c, l_weight_yx, l_potential, l_first, l_last, l_low, l_high} = leads[e_port*DB +: DB];

    reg           d_valid;
    reg  [QB-1:0] d_port;
    reg  signed [PX-1:0] d_payload;
    reg  [NB-1:0] d_rows, d_columns;
    reg  [WA-1:0] d_weight_c, d_weight_yx;
    reg  [VA-1:0] d_potential;
    reg  [GB-1:0] d_first, d_last;
    reg  [LB-1:0] d_low, d_high;
    wire          a_free;
    wire          d_free = !d_valid || a_free;
    wire          e_added;                      // the total of its source is there
    wire signed [PX-1:0] e_value;
    assign e_leaves = e_valid && (e_type == SPIKE ? d_free && e_added : !e_last || quiet);
    wire to_d = e_valid && e_type == SPIKE && d_free && e_added;

    always @(posedge clk) begin
        if (rst) d_valid <= 0;
        else if (d_free) d_valid <= to_d && l_rows != 0 && l_columns != 0;
        if (d_free) begin
            d_port      <= e_port;
            d_payload   <= e_value;
            d_rows      <= l_rows;
            d_columns   <= l_columns;
            d_weight_c  <= l_weight_c;
            d_weight_yx <= l_weight_yx;
            d_potential <= l_potential;
            d_first     <= l_first;
            d_last      <= l_last;
            d_low       <= l_low;
            d_high      <= l_high;
        end
    end

    // Totals of sources: read in the first clock in E, added and written in the next.
    reg [CA-1:0] cleared;
    reg [GB-1:0] c_group;
    generate
        if (TYPE == 2) begin : totals
            localparam [31:0] ROW = WIN[31:0] * CIN[31:0], COLUMN = CIN[31:0];
            reg added;
            wire signed [MB-1:0] total;
            wire [SA-1:0] source = (HIN[31:0] > 1 ? e_y * ROW[SA-1:0] : {SA{1'b0}})
                + (WIN[31:0] > 1 ? e_x * COLUMN[SA-1:0] : {SA{1'b0}}) + e_c;
            spleat_ram #(.WIDTH(MB), .DEPTH(SOURCES), .AB(SA)) memory (.clk(clk), .enable(!added),
                .address(source), .word(total), .write(state == CLEAR ? cleared <= LAST_SOURCE[CA-1:0] : to_d),
                .write_address(state == CLEAR ? cleared[SA-1:0] : source), .write_word(state == CLEAR ? {MB{1'b0}} : e_value));
            always @(posedge clk) added <= !rst && e_valid && e_type == SPIKE && !to_d;
            assign e_added = added;
            assign e_value = total + e_signed;
        end else begin : no_totals
            assign e_added = 1;
            assign e_value = e_signed;
        end
    endgenerate

    // ---- A: taps and groups.
    reg           a_run;
    reg  [QB-1:0] a_port;
    reg  signed [PX-1:0] a_payload;
    reg  [NB-1:0] a_rows, a_columns, a_width;   // still to come
    reg  [WA-1:0] a_weight, a_weight_tap, a_weight_row;
    reg  [VA-1:0] a_place, a_place_tap, a_place_row;
    reg  [GB-1:0] a_group, a_first, a_last;
    reg  [LB-1:0] a_low, a_high;
    wire last_group  = GROUPS == 1 || a_group == a_last;
    wire last_column = a_columns == 1;
    wire last_row    = a_rows == 1;
    wire a_ends = last_group && last_column && last_row;
    assign a_free = !a_run || a_ends;

    // Between taps, of each port: how far weights and potentials are apart.
    function integer gcd(input integer a, input integer b);
        integer x, y, r;
        begin
            x = a;
            y = b;
            while (y != 0) begin
                r = x % y;
                x = y;
                y = r;
            end
            gcd = x;
        end
    endfunction
    function [PORTS*32-1:0] apart(input integer which);
        integer p, sy, sx, gy, gx;
        begin
            apart = 0;
            for (p = 0; p < PORTS; p = p + 1) begin
                gy = gcd(SY[32*p +: 32], DY[32*p +: 32]);
                gx = gcd(SX[32*p +: 32], DX[32*p +: 32]);
                sy = SY[32*p +: 32] / gy;
                sx = SX[32*p +: 32] / gx;
                apart[32*p +: 32] = which == 0 ? sy * KW[32*p +: 32] * GROUPS : which == 1 ? sx * GROUPS
                    : which == 2 ? DY[32*p +: 32] / gy * WOUT * GROUPS : DX[32*p +: 32] / gx * GROUPS;
            end
        end
    endfunction
    localparam [PORTS*32-1:0] WEIGHT_ROW = apart(0), WEIGHT_COLUMN = apart(1), PLACE_ROW = apart(2), PLACE_COLUMN = apart(3);
    wire [WA-1:0] weight_row = WEIGHT_ROW[a_port*32 +: WA], weight_column = WEIGHT_COLUMN[a_port*32 +: WA];
    wire [VA-1:0] place_row = PLACE_ROW[a_port*32 +: VA], place_column = PLACE_COLUMN[a_port*32 +: VA];

    wire [WA-1:0] next_weight = last_column ? a_weight_row + weight_row : a_weight_tap + weight_column;
    wire [VA-1:0] next_place  = last_column ? a_place_row - place_row : a_place_tap - place_column;
    wire [WA-1:0] d_weight = d_weight_c + d_weight_yx;

    always @(posedge clk) begin
        if (rst) a_run <= 0;
        else if (a_free) a_run <= d_valid;
        if (a_free) begin
            a_port       <= d_port;
            a_payload    <= d_payload;
            a_rows       <= d_rows;
            a_columns    <= d_columns;
            a_width      <= d_columns;
            a_weight     <= d_weight + d_first;
            a_weight_tap <= d_weight;
            a_weight_row <= d_weight;
            a_place      <= d_potential + d_first;
            a_place_tap  <= d_potential;
            a_place_row  <= d_potential;
            a_group      <= d_first;
            a_first      <= d_first;
            a_last       <= d_last;
            a_low        <= d_low;
            a_high       <= d_high;
        end else if (!last_group) begin
            a_group  <= a_group + 1'b1;
            a_weight <= a_weight + 1'b1;
            a_place  <= a_place + 1'b1;
        end else begin
            a_group      <= a_first;
            a_weight     <= next_weight + a_first;
            a_weight_tap <= next_weight;
            a_place      <= next_place + a_first;
            a_place_tap  <= next_place;
            if (last_column) begin
                a_columns    <= a_width;
                a_rows       <= a_rows - 1'b1;
                a_weight_row <= next_weight;
                a_place_row  <= next_place;
            end else a_columns <= a_columns - 1'b1;
        end
    end

    // Clocks 1 to 4 of each.
    reg               n_any, m_any, x_any, y_any;
    reg               x_last, x_before;     // the same place as one, as two clocks before
    reg  [QB-1:0]     n_port;
    reg  signed [PX-1:0] n_payload, m_payload;
    reg  [VA-1:0]     n_place, m_place, x_place, y_place;
    reg  [LANES-1:0]  n_valid, m_valid, x_valid, y_valid, z_valid;
    reg  [LANES-1:0]  a_lanes;
    integer n;
    always @* for (n = 0; n < LANES; n = n + 1)
        a_lanes[n] = !((a_group == a_first && n < a_low) || (a_group == a_last && n > a_high));
    always @(posedge clk) begin
        n_any     <= !rst && a_run;
        n_valid   <= !rst && a_run ? a_lanes : {LANES{1'b0}};
        n_port    <= a_port;
        n_payload <= a_payload;
        n_place   <= a_place;
        m_any     <= !rst && n_any;
        m_valid   <= rst ? {LANES{1'b0}} : n_valid;
        m_payload <= n_payload;
        m_place   <= n_place;
        x_any     <= !rst && m_any;
        x_valid   <= rst ? {LANES{1'b0}} : m_valid;
        x_place   <= m_place;
        x_last    <= x_any && x_place == m_place;
        x_before  <= y_any && y_place == m_place;
        y_any     <= !rst && x_any;
        y_valid   <= rst ? {LANES{1'b0}} : x_valid;
        y_place   <= x_place;
        z_valid   <= y_valid;
    end
    assign quiet = !d_valid && !a_run && !n_any && !m_any && !x_any && !y_any;

    // ---- Sweep: addresses, read potentials, neurons.
    reg             r_valid, l_valid, s_valid;      // groups to read, read, in the neurons
    reg  [VA-1:0]   r_place, l_place, w_place;
    reg  [GB-1:0]   r_group, l_group, s_group, w_group;
    reg  [SB-1:0]   phase;
    reg  [TA-1:0]   row;                            // of tables that change in time
    reg             writes;
    wire emits_now;                                 // there is room for the spikes of a group
    wire done    = s_valid && phase == LAST_STEP[SB-1:0] && emits_now;
    wire advance = !s_valid || done;
    wire starts  = e_valid && e_last && e_type == END_STEP && quiet && state == TAKE;
    wire sweeps  = starts || (state == MARK && out_go && again);

    always @(posedge clk) begin
        if (rst) begin
            r_valid <= 0;
            l_valid <= 0;
            s_valid <= 0;
            writes  <= 0;
        end else begin
            if (sweeps) r_valid <= 1;
            else if (state == SWEEP && advance && r_place == LAST_PLACE[VA-1:0]) r_valid <= 0;
            if (state == SWEEP && advance) begin
                l_valid <= r_valid;
                s_valid <= l_valid;
            end
            writes <= done;
        end
        if (sweeps) begin
            r_place <= 0;
            r_group <= 0;
        end else if (advance && r_valid) begin
            r_place <= r_place + 1'b1;
            r_group <= r_group == LAST_GROUP[GB-1:0] ? {GB{1'b0}} : r_group + 1'b1;
        end
        if (advance) begin
            l_place <= r_place;
            l_group <= r_group;
            s_group <= l_group;
            phase   <= 0;
        end else if (phase != LAST_STEP[SB-1:0]) phase <= phase + 1'b1;
        if (sweeps) w_place <= 0;
        else if (writes) w_place <= w_place + 1'b1;
        if (done) w_group <= s_group;
    end
    wire [TA-1:0] in_time = row + l_group;

    wire [LANES*OPB-1:0] sent;
    wire [LANES-1:0]     fires, lost;
    wire [LANES*MB-1:0]  after;
    localparam [31:0] LIVE = COUT - (GROUPS - 1) * LANES;   // banks with a neuron in the last group
    wire [LANES-1:0] all_lanes = {LANES{1'b1}};
    wire [LANES-1:0] live = s_group == LAST_GROUP[GB-1:0] ? all_lanes >> (LANES - LIVE) : all_lanes;
    genvar b;
    generate
        for (b = 0; b < LANES; b = b + 1) begin : bank
            wire [OPB-1:0] own;
            wire fired;
            spleat_lane #(.NAME(NAME), .LANE(b), .TYPE(TYPE), .PORTS(PORTS), .QB(QB), .WDEPTHS(wdepths(0)), .WB(WB),
                .WA(WA), .XB(PX), .BINARY(BINARY), .VDEPTH(VDEPTH), .VA(VA), .MB(MB), .GROUPS(GROUPS), .GB(GB), .BB(BB),
                .TB(TB), .TDEPTH(TDEPTH), .RDEPTH(RDEPTH), .DDEPTH(DDEPTH), .TA(TA), .KIND(KIND), .SHIFT(SHIFT),
                .KEPT(KEPT), .HARD(HARD), .V_RESET(V_RESET), .MOST(MOST),
                .INITIAL(INITIAL[b*GROUPS*MB +: GROUPS*MB]), .PB(OPB), .SB(SB)) lane (
                .clk(clk), .a_weight(a_weight), .n_port(n_port), .m_payload(m_payload),
                .x_valid(x_valid[b]),
                .x_last(x_last && y_valid[b]), .x_before(x_before && z_valid[b]), .y_valid(y_valid[b]),
                .v_enable(state != SWEEP || advance), .v_read(state == SWEEP ? r_place : m_place),
                .v_write(writes || state == CLEAR), .v_initial(state == CLEAR || (writes && last_sweep)),
                .v_address(state == CLEAR ? cleared[VA-1:0] : state == TAKE ? y_place : w_place),
                .v_group(state == CLEAR ? c_group : w_group),
                .s_enable(advance), .s_place(l_place), .s_group(r_group),
                .s_threshold(TDEPTH > GROUPS ? in_time : l_group), .s_reset(RDEPTH > GROUPS ? in_time : l_group),
                .s_value(DDEPTH > GROUPS ? in_time : l_group), .s_biased(BARRIER == 0 || step == 0),
                .s_load(advance), .s_next(s_valid && !advance && phase != LAST_STEP[SB-1:0]), .s_step(phase),
                .s_keep(done), .sent(own), .fires(fired), .after(after[b*MB +: MB]), .lost(lost[b]));
            assign sent[b*OPB +: OPB] = READOUT ? after[b*MB +: MB] : own;
            assign fires[b] = READOUT ? last_sweep : KIND != 3 || TYPE != 0 ? fired : 1'b0;
        end
    endgenerate

    // ---- Spikes leave, the lowest bank first.
    reg  [LANES*OPB-1:0] payloads;
    reg  [OCB-1:0] s_channel, o_channel;            // first channels of the group in the neurons, of what is sent
    reg  [OYB-1:0] s_y, o_y;
    reg  [OXB-1:0] s_x, o_x;
    wire [LANES-1:0] rest = pending & (pending - 1'b1);
    assign emits_now = pending == 0 || (rest == 0 && out_ready);
    reg  [LB-1:0] lane;
    integer l;
    always @* begin
        lane = 0;
        for (l = LANES - 1; l >= 0; l = l - 1) if (pending[l]) lane = l[LB-1:0];
    end
    wire [OPB-1:0] out_payload = payloads[lane*OPB +: OPB];
    wire [OCB-1:0] out_channel = o_channel + lane;
    wire [1:0]     out_type = pending != 0 ? SPIKE : state == MARK ? END_STEP : END_INFERENCE;
    assign out_valid = pending != 0 || ((state == MARK || state == FINISH) && !(KIND == 3 && TYPE == 0));
    reg last_group_out;
    generate
        if (READOUT) begin : potentials
            assign out_word = {last_group_out && rest == 0, out_payload};
        end else begin : spikes
            assign out_word = {out_type, out_type == SPIKE ? {out_payload, out_channel, o_y, o_x} : {OPB+OCB+OYB+OXB{1'b0}}};
        end
    endgenerate
    always @(posedge clk) begin
        if (rst) pending <= 0;
        else if (done) pending <= fires & live;
        else if (out_ready) pending <= rest;
        if (done) begin
            payloads  <= sent;
            o_channel <= s_channel;
            o_y       <= s_y;
            o_x       <= s_x;
            last_group_out <= !l_valid;
        end
        if (sweeps) begin
            s_channel <= 0;
            s_y       <= 0;
            s_x       <= 0;
        end else if (done) begin
            if (s_group != LAST_GROUP[GB-1:0]) s_channel <= s_channel + EACH_GROUP[OCB-1:0];
            else begin
                s_channel <= 0;
                s_x       <= s_x == LAST_COLUMN[OXB-1:0] ? {OXB{1'b0}} : s_x + 1'b1;
                if (s_x == LAST_COLUMN[OXB-1:0]) s_y <= s_y + 1'b1;
            end
        end
    end

    // ---- What happens when.
    wire swept = state == SWEEP && !r_valid && !l_valid && !s_valid && !writes && pending == 0;
    always @(posedge clk) begin
        if (rst) begin
            state   <= CLEAR;
            cleared <= 0;
            c_group <= 0;
            step    <= 0;
            row     <= 0;
            overflow <= 0;
        end else begin
            if (lost != 0) overflow <= 1;
            case (state)
                CLEAR: begin
                    cleared <= cleared + 1'b1;
                    c_group <= c_group == LAST_GROUP[GB-1:0] ? {GB{1'b0}} : c_group + 1'b1;
                    if (cleared == LAST_CLEARED[CA-1:0]) state <= TAKE;
                end
                TAKE: begin
                    if (starts) state <= SWEEP;
                    else if (e_valid && e_last && e_type == END_INFERENCE && quiet) state <= FINISH;
                end
                SWEEP: if (swept) state <= MARK;
                MARK: if (out_go) begin
                    state <= again ? SWEEP : TAKE;
                    step  <= last_sweep ? {TIME{1'b0}} : step + 1'b1;
                    row   <= last_sweep ? {TA{1'b0}} : row + GROUPS[TA-1:0];
                end
                default: if (out_go) begin
                    state   <= TYPE == 2 ? CLEAR : TAKE;
                    cleared <= 0;
                    c_group <= 0;
                end
            endcase
        end
    end

`ifdef SPLEAT_TRACE
    integer clock = 0, work = 0, overflows = 0, t, i;
    always @(posedge clk) if (!rst) begin
        clock = clock + 1;
        if (a_run) work = work + 1;
        for (i = 0; i < LANES; i = i + 1) if (lost[i]) overflows = overflows + 1;
        if (READOUT == 0 && pending != 0 && out_ready)
            $display("E %0d %0d %0d %0d %0d %0d", ID, step, out_channel, o_y, o_x, out_payload);
        if (TYPE == 0 && done && last_sweep)
            for (i = 0; i < LANES; i = i + 1) if (live[i])
                $display("V %0d %0d %0d %0d %0d", ID, s_y, s_x, s_channel + i, $signed(after[i*MB +: MB]));
        if (restarts) $display("C %0d %0d %0d %0d", ID, clock, work, overflows);
    end
`endif
endmodule
