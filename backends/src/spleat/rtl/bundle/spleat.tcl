# Vivado, not in a project. Pins of the board go into spleat.xdc beside this file; not tried with Vivado itself.
read_verilog [glob rtl/spleat_fifo.v rtl/spleat_lane.v rtl/spleat_layer.v rtl/spleat_memories.v rtl/spleat_neuron.v rtl/spleat_port.v rtl/spleat_window.v rtl/spleat_top.v]
synth_design -top spleat_top -part xc7a100tcsg324-1 -mode out_of_context
create_clock -period @NS@ [get_ports clk]
if {[file exists rtl/spleat.xdc]} { read_xdc rtl/spleat.xdc }
opt_design
place_design
route_design
report_utilization -file rtl/build/cells.txt
report_timing_summary -file rtl/build/timing.txt
