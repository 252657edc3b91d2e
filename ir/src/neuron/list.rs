//! The macro that makes the list of models into types.

/// Makes [`Neuron`](super::Neuron), the states of a population, and the ways from one to the other.
///
/// `$d` is a dollar sign, for the macro `each!` within: `each!(neuron, n => expression)` is a match on all models in
/// which `n` is the model. An entry is `Name(file::Type)`, or
/// `Name = file::Type` where the type has no parameters; all that its file makes public is exported.
macro_rules! neurons {
    (
        $d:tt
        integers { $(
            $int:ident $( ($int_file:ident :: $int_model:ident) )? $( = $unit_file:ident :: $int_unit:ident )?,
        )* }
        reals { $( $real:ident ($real_file:ident :: $real_model:ident), )* }
    ) => {
        $( pub use $( $int_file )? $( $unit_file )?::*; )*
        $( pub use $real_file::*; )*

        /// A neuron model. `v` is the membrane potential: what the projections brought, and the bias.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Neuron {
            $(
                #[doc = concat!("See [`", stringify!($( $int_model )? $( $int_unit )?), "`].")]
                $int $( ($int_model) )?,
            )*
            $(
                #[doc = concat!("See [`", stringify!($real_model), "`].")]
                $real($real_model),
            )*
        }

        /// The neurons of a population on integers: their model, and the state of each.
        #[derive(Clone, Debug)]
        pub enum NeuronState<'a> {
            $(
                #[doc = concat!("See [`", stringify!($( $int_model )? $( $int_unit )?), "`].")]
                $int(States<'a, $( $int_model )? $( $int_unit )?>),
            )*
        }

        /// The neurons of a population in single precision: their model, and the state of each.
        #[derive(Clone, Debug)]
        pub enum RealState<'a> {
            $(
                #[doc = concat!("See [`", stringify!($real_model), "`].")]
                $real(States<'a, $real_model>),
            )*
        }

        impl Neuron {
            /// What the neurons of each model are called, in the order of the list.
            pub const NAMES: &'static [&'static str] = &[
                $( <$( $int_model )? $( $int_unit )? as NeuronModel>::NAME, )*
                $( <$real_model as NeuronModel>::NAME, )*
            ];

            /// A population of such neurons at rest, if they are on integers.
            pub fn states(&self, neurons: usize, channels: usize) -> Option<NeuronState<'_>> {
                match self {
                    $( neurons!(@pattern n $int $( ($int_model) )? $( = $int_unit )?) => {
                        let model = neurons!(@model n $( = $int_unit )?);
                        Some(NeuronState::$int(States::new(model, neurons, channels)))
                    } )*
                    $( Neuron::$real(_) => None, )*
                }
            }

            /// A population of such neurons at rest, if they are in single precision.
            pub fn real_states(&self, neurons: usize, channels: usize) -> Option<RealState<'_>> {
                match self {
                    $( neurons!(@any $int $( ($int_model) )? $( = $int_unit )?) => None, )*
                    $( Neuron::$real(n) => {
                        Some(RealState::$real(States::new(n, neurons, channels)))
                    } )*
                }
            }
        }

        impl NeuronState<'_> {
            /// As [`States::step`].
            pub fn step(
                &mut self,
                timestep: usize,
                input: impl IntoIterator<Item = i64>,
            ) -> Vec<i64> {
                match self { $( NeuronState::$int(own) => own.step(timestep, input), )* }
            }

            /// As [`States::step_behind_barrier`].
            pub fn step_behind_barrier(
                &mut self,
                timestep: (usize, usize),
                total: impl IntoIterator<Item = i64>,
            ) -> Vec<i64> {
                match self { $( NeuronState::$int(own) => own.step_behind_barrier(timestep, total), )* }
            }

            /// The membrane potential of each neuron.
            pub fn potentials(&self) -> Vec<i64> {
                match self { $( NeuronState::$int(own) => own.potentials(), )* }
            }
        }

        impl RealState<'_> {
            /// As [`States::step`].
            pub fn step(
                &mut self,
                timestep: usize,
                input: impl IntoIterator<Item = f32>,
            ) -> Vec<f32> {
                match self { $( RealState::$real(own) => own.step(timestep, input), )* }
            }

            /// The membrane potential of each neuron.
            pub fn potentials(&self) -> Vec<f32> {
                match self { $( RealState::$real(own) => own.potentials(), )* }
            }
        }

        $( neurons!(@listed $int $( ($int_model) )? $( = $int_unit )?); )*
        $( neurons!(@listed $real($real_model)); )*

        macro_rules! each {
            ($d neuron:expr, $d n:ident => $d answer:expr) => {
                match $d neuron {
                    $( neurons!(@pattern $d n $int $( ($int_model) )? $( = $int_unit )?) => {
                        let $d n = neurons!(@model $d n $( = $int_unit )?);
                        $d answer
                    } )*
                    $( Neuron::$real($d n) => $d answer, )*
                }
            };
        }
    };
    (@pattern $n:ident $name:ident ($model:ident)) => { Neuron::$name($n) };
    (@pattern $n:ident $name:ident = $unit:ident) => { Neuron::$name };
    (@any $name:ident ($model:ident)) => { Neuron::$name(_) };
    (@any $name:ident = $unit:ident) => { Neuron::$name };
    (@model $n:ident) => { $n };
    (@model $n:ident = $unit:ident) => { &$unit };
    (@listed $name:ident ($model:ident)) => {
        impl Listed for $model {
            fn of(neuron: &Neuron) -> Option<&Self> {
                if let Neuron::$name(n) = neuron { Some(n) } else { None }
            }
        }

        impl From<$model> for Neuron {
            fn from(model: $model) -> Neuron {
                Neuron::$name(model)
            }
        }
    };
    (@listed $name:ident = $unit:ident) => {
        impl Listed for $unit {
            fn of(neuron: &Neuron) -> Option<&Self> {
                (*neuron == Neuron::$name).then_some(&$unit)
            }
        }

        impl From<$unit> for Neuron {
            fn from(_: $unit) -> Neuron {
                Neuron::$name
            }
        }
    };
}
