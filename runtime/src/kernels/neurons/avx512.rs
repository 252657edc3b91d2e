//! AVX-512: sixteen channels in one register.

use std::arch::x86_64::*;

use super::{BLOCK, Binary, Input, Line, Sent};

/// What reaches 16 channels where nothing varies in time.
static NOTHING: [i32; BLOCK] = [0; BLOCK];

/// Pointers to what reaches 16 channels of one place.
struct Arriving {
    varying: *const i32,
    /// From one timestep to the next.
    stride: usize,
    constant: __m512i,
    bias: __m512i,
    bias_at: Option<usize>,
}

impl Arriving {
    /// # Safety
    /// The processor has AVX-512, and `input` was checked for this place and these channels.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn new(input: &Input<'_>, place: usize, first: usize) -> Arriving {
        // SAFETY: the caller's promise.
        unsafe {
            let mut constant = _mm512_setzero_si512();
            if !input.constant.is_empty() {
                let from = input.constant.as_ptr().add(place * input.width + first);
                constant = _mm512_loadu_si512(from.cast());
            }
            let bias = _mm512_loadu_si512(input.bias.as_ptr().add(first).cast());
            let from = place * input.steps * input.width + first;
            let (varying, stride) = match input.varying {
                [] => (NOTHING.as_ptr(), 0),
                all => (all.as_ptr().add(from), input.width),
            };
            let mut own = Arriving { varying, stride, constant, bias, bias_at: input.bias_at };
            if own.bias_at.is_none() {
                own.constant = _mm512_add_epi32(constant, bias);
            }
            own
        }
    }

    /// # Safety
    /// As for `new`; `t` is one of the timesteps.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn at(&self, t: usize) -> __m512i {
        // SAFETY: the caller's promise.
        let v = unsafe { self.unbiased(t) };
        if self.bias_at == Some(t) { _mm512_add_epi32(v, self.bias) } else { v }
    }

    /// The same where the bias comes in every timestep.
    ///
    /// # Safety
    /// As for `at`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn unbiased(&self, t: usize) -> __m512i {
        // SAFETY: the caller's promise.
        let varying = unsafe { _mm512_loadu_si512(self.varying.add(t * self.stride).cast()) };
        _mm512_add_epi32(self.constant, varying)
    }

    /// # Safety
    /// As for `new`; there are `steps` timesteps.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn total(&self, steps: usize) -> __m512i {
        let mut v = _mm512_setzero_si512();
        for t in 0..steps {
            // SAFETY: the caller's promise.
            v = _mm512_add_epi32(v, unsafe { self.at(t) });
        }
        v
    }
}

/// The lanes of a block of which a map has channels.
fn lanes(stride: usize, first: usize) -> __mmask16 {
    match stride - first {
        BLOCK.. => u16::MAX,
        left => (1 << left) - 1,
    }
}

/// # Safety
/// The processor has AVX-512, and the arguments were checked.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn fire(n: &Binary, input: &Input<'_>, sent: &mut Sent<'_>) {
    let steady = [n.threshold.len(), n.amount.len(), n.spike.len()].map(|len| len <= input.width);
    let plain =
        steady == [true; 3] && n.hard.is_none() && !n.behind_barrier && input.bias_at.is_none();
    let mut first = 0;
    while first < sent.stride {
        // SAFETY: the caller's promise, for as many blocks as there are channels.
        unsafe {
            first += BLOCK
                * match ((sent.stride - first).div_ceil(BLOCK), plain) {
                    (4.., true) => fire_channels::<4, true>(n, input, sent, first),
                    (2.., true) => fire_channels::<2, true>(n, input, sent, first),
                    (_, true) => fire_channels::<1, true>(n, input, sent, first),
                    (4.., _) => fire_channels::<4, false>(n, input, sent, first),
                    (2.., _) => fire_channels::<2, false>(n, input, sent, first),
                    _ => fire_channels::<1, false>(n, input, sent, first),
                };
        }
    }
}

/// What firing compares with and leads to, for 16 channels at one timestep.
#[derive(Clone, Copy)]
struct Rule {
    threshold: __m512i,
    amount: __m512i,
    spike: __m128i,
}

impl Rule {
    /// # Safety
    /// The processor has AVX-512, and tables were checked for these channels; `rows` are the distances of
    /// the timestep's rows in them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn new(n: &Binary, rows: [usize; 3], first: usize) -> Rule {
        // SAFETY: the caller's promise.
        unsafe {
            Rule {
                threshold: _mm512_loadu_si512(n.threshold.as_ptr().add(rows[0] + first).cast()),
                amount: _mm512_loadu_si512(n.amount.as_ptr().add(rows[1] + first).cast()),
                spike: _mm_loadu_si128(n.spike.as_ptr().add(rows[2] + first).cast()),
            }
        }
    }
}

/// Neurons of `B` blocks of channels at once, as none need wait for the potential of another; returns `B`.
/// `PLAIN` ones have tables of one row, a soft reset, and their bias in every timestep.
///
/// # Safety
/// As [`fire`]; the blocks have channels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn fire_channels<const B: usize, const PLAIN: bool>(
    n: &Binary,
    input: &Input<'_>,
    sent: &mut Sent<'_>,
    first: usize,
) -> usize {
    let silence = _mm_set1_epi8(n.silence as i8);
    let hard = n.hard.map(|hard| _mm512_set1_epi32(hard));
    let step = |len: usize| if len > input.width { input.width } else { 0 };
    let strides = [step(n.threshold.len()), step(n.amount.len()), step(n.spike.len())];
    let blocks: [usize; B] = std::array::from_fn(|b| first + b * BLOCK);
    let masks = blocks.map(|first| lanes(sent.stride, first));
    // SAFETY: places, timesteps and channels are in range, as was checked.
    unsafe {
        let mut rules = blocks.map(|first| Rule::new(n, [0; 3], first));
        for (place, &start) in sent.places.iter().enumerate() {
            let arriving = blocks.map(|first| Arriving::new(input, place, first));
            let mut v =
                blocks.map(|first| _mm512_loadu_si512(n.initial.as_ptr().add(first).cast()));
            if n.behind_barrier && !PLAIN {
                for (v, arriving) in v.iter_mut().zip(&arriving) {
                    *v = _mm512_add_epi32(*v, arriving.total(input.steps));
                }
            }
            let mut to = sent.bytes.as_mut_ptr().add(start + first);
            for t in 0..input.steps {
                if !PLAIN {
                    let rows = strides.map(|stride| t * stride);
                    rules = blocks.map(|first| Rule::new(n, rows, first));
                }
                for b in 0..B {
                    if PLAIN {
                        v[b] = _mm512_add_epi32(v[b], arriving[b].unbiased(t));
                    } else if !n.behind_barrier {
                        v[b] = _mm512_add_epi32(v[b], arriving[b].at(t));
                    }
                    let fires = _mm512_cmpge_epi32_mask(v[b], rules[b].threshold);
                    v[b] = match hard {
                        Some(hard) if !PLAIN => _mm512_mask_mov_epi32(v[b], fires, hard),
                        _ => _mm512_mask_sub_epi32(v[b], fires, v[b], rules[b].amount),
                    };
                    let bytes = _mm_mask_mov_epi8(silence, fires, rules[b].spike);
                    _mm_mask_storeu_epi8(to.add(b * BLOCK).cast(), masks[b], bytes);
                }
                to = to.wrapping_add(sent.stride);
            }
        }
    }
    B
}

/// # Safety
/// The processor has AVX-512, and the arguments were checked.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn answer(n: &Line, input: &Input<'_>, sent: &mut Sent<'_>) {
    if input.steps == 1 && input.constant.is_empty() && !input.varying.is_empty() {
        // SAFETY: the caller's promise.
        return unsafe { answer_once(n, input, sent) };
    }
    let silence = _mm_set1_epi8(n.silence as i8);
    let (low, high) = (_mm512_set1_ps(n.low), _mm512_set1_ps(n.high));
    let (least, most) = (_mm512_setzero_ps(), _mm512_set1_ps(255.0));
    for first in (0..sent.stride).step_by(BLOCK) {
        let mask = lanes(sent.stride, first);
        for (place, &start) in sent.places.iter().enumerate() {
            // SAFETY: place, timesteps and channels are in range, as was checked.
            unsafe {
                let slope = _mm512_loadu_ps(n.slope.as_ptr().add(first));
                let offset = _mm512_loadu_ps(n.offset.as_ptr().add(first));
                let arriving = Arriving::new(input, place, first);
                let mut to = sent.bytes.as_mut_ptr().add(start + first);
                for t in 0..input.steps {
                    let mut bytes = silence;
                    if !n.behind_barrier || t + 1 == input.steps {
                        let v = if n.behind_barrier {
                            arriving.total(input.steps)
                        } else {
                            arriving.at(t)
                        };
                        // Two roundings, as the definition has them: no fused operation.
                        let level = _mm512_mul_ps(_mm512_cvtepi32_ps(v), slope);
                        let level = _mm512_add_ps(level, offset);
                        let level = _mm512_min_ps(_mm512_max_ps(level, low), high);
                        let level = _mm512_min_ps(_mm512_max_ps(level, least), most);
                        bytes = _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(level));
                    }
                    _mm_mask_storeu_epi8(to.cast(), mask, bytes);
                    to = to.wrapping_add(sent.stride);
                }
            }
        }
    }
}

/// As [`answer`] in the only timestep, where everything varies.
///
/// # Safety
/// As [`answer`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn answer_once(n: &Line, input: &Input<'_>, sent: &mut Sent<'_>) {
    // Clamped twice, once by both bounds.
    let low = _mm512_set1_ps(n.low.clamp(0.0, 255.0));
    let high = _mm512_set1_ps(n.high.min(255.0).max(n.low.clamp(0.0, 255.0)));
    for first in (0..sent.stride).step_by(BLOCK) {
        let mask = lanes(sent.stride, first);
        // SAFETY: channels and places are in range, as was checked.
        unsafe {
            let slope = _mm512_loadu_ps(n.slope.as_ptr().add(first));
            let offset = _mm512_loadu_ps(n.offset.as_ptr().add(first));
            let mut bias = _mm512_setzero_si512();
            if input.bias_at.is_none_or(|at| at == 0) {
                bias = _mm512_loadu_si512(input.bias.as_ptr().add(first).cast());
            }
            let mut from = input.varying.as_ptr().add(first);
            for &start in sent.places {
                let v = _mm512_add_epi32(_mm512_loadu_si512(from.cast()), bias);
                // Two roundings, as the definition has them: no fused operation.
                let level = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(v), slope), offset);
                let level = _mm512_min_ps(_mm512_max_ps(level, low), high);
                let bytes = _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(level));
                let to = sent.bytes.as_mut_ptr().add(start + first).cast();
                _mm_mask_storeu_epi8(to, mask, bytes);
                from = from.wrapping_add(input.width);
            }
        }
    }
}
