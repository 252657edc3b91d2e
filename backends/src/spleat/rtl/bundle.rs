//! The scripts that come with the core: they build, check and run it, for each family of devices.

use crate::File;
use crate::spleat::hardware::{Hardware, Synthesis};

/// Makefile, constraints and a page that says how to use them.
pub fn bundle(network: &str, hardware: &Hardware) -> Vec<File> {
    let flow = hardware.synthesis.map_or(Flow::PLAIN, Flow::of);
    let fill = |text: &str| {
        text.replace("@NETWORK@", network)
            .replace("@DEVICE@", &hardware.name)
            .replace("@MHZ@", &format!("{}", hardware.clock_hz as f64 / 1e6))
            .replace("@NS@", &format!("{:.3}", 1e9 / hardware.clock_hz.max(1) as f64))
            .replace("@SYNTHESISE@", flow.synthesise)
            .replace("@ROUTE@", flow.route)
            .replace("@CONSTRAINTS@", flow.constraints.map_or("none", |(name, _)| name))
    };
    let mut files = vec![
        File::new("rtl/Makefile", fill(include_str!("bundle/Makefile"))),
        File::new("rtl/README.md", fill(include_str!("bundle/README.md"))),
    ];
    if let Some((name, text)) = flow.constraints {
        files.push(File::new(format!("rtl/{name}"), fill(text)));
    }
    files
}

/// The commands of a family.
struct Flow {
    /// The command of Yosys.
    synthesise: &'static str,
    /// What makes a bitstream of the netlist.
    route: &'static str,
    /// The file of constraints and its template.
    constraints: Option<(&'static str, &'static str)>,
}

impl Flow {
    /// Where the description names no family.
    const PLAIN: Flow = Flow {
        synthesise: "synth -flatten -top spleat_top",
        route: "@echo \"the device has no script of its own: choose ecp5-85, ice40up5k or xc7a100t\" && false",
        constraints: None,
    };

    fn of(family: Synthesis) -> Flow {
        match family {
            Synthesis::Ecp5 => Flow {
                synthesise: "synth_ecp5 -top spleat_top -json rtl/build/spleat.json",
                route: "cd $(IMAGE) && $(NEXTPNR_ECP5) --85k --package CABGA756 --json rtl/build/spleat.json --lpf rtl/spleat.lpf \\\n\t    --lpf-allow-unconstrained --freq $(MHZ) --seed $(SEED) --textcfg rtl/build/spleat.config",
                constraints: Some(("spleat.lpf", include_str!("bundle/spleat.lpf"))),
            },
            Synthesis::Ice40 => Flow {
                synthesise: "synth_ice40 -dsp -top spleat_top -json rtl/build/spleat.json",
                route: "cd $(IMAGE) && $(NEXTPNR_ICE40) --up5k --package sg48 --json rtl/build/spleat.json --pcf rtl/spleat.pcf \\\n\t    --pcf-allow-unconstrained --freq $(MHZ) --seed $(SEED) --asc rtl/build/spleat.asc",
                constraints: Some(("spleat.pcf", include_str!("bundle/spleat.pcf"))),
            },
            Synthesis::Xc7 => Flow {
                synthesise: "synth_xilinx -flatten -top spleat_top -edif rtl/build/spleat.edif",
                route: "cd $(IMAGE) && vivado -mode batch -source rtl/spleat.tcl",
                constraints: Some(("spleat.tcl", include_str!("bundle/spleat.tcl"))),
            },
        }
    }
}
