// Memories that synthesis tools find. SPLEAT-style, documented stand-in; not SPLEAT's own HDL.
`timescale 1ns/1ns

// A synchronous memory that is only read, from a file of the image. Small ones are logic.
module spleat_rom #(
    parameter FILE  = "",
    parameter WIDTH = 8,
    parameter DEPTH = 1,
    parameter AB    = 1     // bits of the address
) (
    input  wire             clk,
    input  wire             enable,
    input  wire [AB-1:0]    address,
    output reg  [WIDTH-1:0] word
);
    generate
        if (DEPTH * WIDTH <= 1024 && DEPTH <= 64) begin : logic_rom
            (* ram_style = "logic", rom_style = "logic" *)
            reg [WIDTH-1:0] words [0:DEPTH-1];
            initial $readmemh(FILE, words);
            always @(posedge clk) if (enable) word <= words[address];
        end else begin : block_rom
            reg [WIDTH-1:0] words [0:DEPTH-1];
            initial $readmemh(FILE, words);
            always @(posedge clk) if (enable) word <= words[address];
        end
    endgenerate
endmodule

// A synchronous memory with a port to read and a port to write. Nobody relies on what is read from
// an address in the clock in which it is written.
module spleat_ram #(
    parameter WIDTH = 8,
    parameter DEPTH = 1,
    parameter AB    = 1
) (
    input  wire             clk,
    input  wire             enable,
    input  wire [AB-1:0]    address,
    output reg  [WIDTH-1:0] word,
    input  wire             write,
    input  wire [AB-1:0]    write_address,
    input  wire [WIDTH-1:0] write_word
);
    (* no_rw_check *)
    reg [WIDTH-1:0] words [0:DEPTH-1];
    always @(posedge clk) begin
        if (enable) word <= words[address];
        if (write)  words[write_address] <= write_word;
    end
endmodule
