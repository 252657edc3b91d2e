//! Fast arithmetic on payloads: the only place of this crate where `unsafe` is allowed.
//!
//! Payloads are bytes, weights signed bytes, sums 32-bit integers that wrap. Nothing saturates and
//! nothing rounds but [`neurons::Line`], whose result is verified beforehand, and sums of reals, whose
//! order is kept, so every instruction set gives the same bits: AVX-512 with VNNI, AVX2, and portable
//! code for all other processors.
#![allow(unsafe_code)]

pub mod aligned;
pub mod elements;
pub mod events;
pub mod least_squares;
pub mod lines;
pub mod neurons;
pub mod ordered;
#[cfg(test)]
mod payload_tests;
pub mod product;
pub mod reals;
pub mod rounding;
pub mod scatter;
pub mod signed;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

/// How networks are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kernels {
    /// By the scalar interpreter, the slow twin of everything else.
    Scalar,
    /// In prepared form, by code for any processor.
    Portable,
    /// In prepared form, by AVX2.
    Avx2,
    /// In prepared form, by AVX-512 with VNNI.
    Avx512,
}

impl Kernels {
    /// Every way, the slowest first.
    pub const ALL: [Kernels; 4] =
        [Kernels::Scalar, Kernels::Portable, Kernels::Avx2, Kernels::Avx512];

    /// The name that `SNNC_KERNELS` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Kernels::Scalar => "scalar",
            Kernels::Portable => "portable",
            Kernels::Avx2 => "avx2",
            Kernels::Avx512 => "avx512",
        }
    }

    /// The fastest that this processor has.
    pub fn best() -> Kernels {
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2");
            if has_avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vnni")
            {
                return Kernels::Avx512;
            }
            if has_avx2 {
                return Kernels::Avx2;
            }
        }
        Kernels::Portable
    }

    /// What the environment variable `SNNC_KERNELS` asks for, else the fastest; never more than the
    /// processor has.
    pub fn chosen() -> Kernels {
        static CHOSEN: OnceLock<Kernels> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let wanted = std::env::var("SNNC_KERNELS").unwrap_or_default();
            let named = Kernels::ALL.into_iter().find(|k| k.name() == wanted);
            named.unwrap_or(Kernels::Avx512).min(Kernels::best())
        })
    }
}

/// An instruction set that this processor is known to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Kernels);

impl Isa {
    /// The instruction set of `kernels`, or the best below it that the processor has; `None` for the
    /// scalar interpreter.
    pub fn of(kernels: Kernels) -> Option<Isa> {
        (kernels != Kernels::Scalar).then(|| Isa(kernels.min(Kernels::best())))
    }

    /// The kernels that it stands for.
    pub fn kernels(self) -> Kernels {
        self.0
    }
}

/// Compiles the same safe code once for each instruction set, for the compiler to vectorise.
macro_rules! multiversion {
    ($(#[$meta:meta])* pub fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        pub fn $name(isa: $crate::kernels::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            #[allow(clippy::too_many_arguments)]
            fn avx2($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512dq")]
            #[allow(clippy::too_many_arguments)]
            fn avx512($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }
            match isa.kernels() {
                // SAFETY: an `Isa` of AVX-512 exists only where the processor has these features.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::Kernels::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: an `Isa` of AVX2 exists only where the processor has it.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::Kernels::Avx2 => unsafe { avx2($($arg),*) },
                _ => body($($arg),*),
            }
        }
    };
}
pub(crate) use multiversion;

multiversion! {
    /// The largest of some places in memory, 0 without any.
    pub fn furthest(places: &[usize]) -> usize {
        places.iter().fold(0, |most, &place| if place > most { place } else { most })
    }
}
