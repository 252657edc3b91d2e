//! AVX-512: sixteen channels in one register.

use std::arch::x86_64::*;

use super::{BLOCK, Binary, Input, Line, Sent};

/// Pointers to what reaches 16 channels of one place.
struct Arriving {
    varying: Option<*const i32>,
    constant: __m512i,
    bias: __m512i,
    bias_at: Option<usize>,
    width: usize,
}

impl Arriving {
    /// # Safety
    /// The processor has AVX-512, and `input` was checked for this place and these channels.
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
            let varying = (!input.varying.is_empty()).then(|| input.varying.as_ptr().add(from));
            let mut own =
                Arriving { varying, constant, bias, bias_at: input.bias_at, width: input.width };
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
        let mut v = self.constant;
        if self.bias_at == Some(t) {
            v = _mm512_add_epi32(v, self.bias);
        }
        if let Some(varying) = self.varying {
            // SAFETY: the caller's promise.
            let more = unsafe { _mm512_loadu_si512(varying.add(t * self.width).cast()) };
            v = _mm512_add_epi32(v, more);
        }
        v
    }

    /// # Safety
    /// As for `new`; there are `steps` timesteps.
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
    let silence = _mm_set1_epi8(n.silence as i8);
    let hard = n.hard.map(|hard| _mm512_set1_epi32(hard));
    let step = |len: usize| if len > input.width { input.width } else { 0 };
    let strides = [step(n.threshold.len()), step(n.amount.len()), step(n.spike.len())];
    for (place, &start) in sent.places.iter().enumerate() {
        for first in (0..sent.stride).step_by(BLOCK) {
            let mask = lanes(sent.stride, first);
            // SAFETY: place, timesteps and channels are in range, as was checked.
            unsafe {
                let arriving = Arriving::new(input, place, first);
                let mut v = _mm512_loadu_si512(n.initial.as_ptr().add(first).cast());
                if n.behind_barrier {
                    v = _mm512_add_epi32(v, arriving.total(input.steps));
                }
                let mut to = sent.bytes.as_mut_ptr().add(start + first);
                for t in 0..input.steps {
                    if !n.behind_barrier {
                        v = _mm512_add_epi32(v, arriving.at(t));
                    }
                    let [threshold, amount] = [(&n.threshold, strides[0]), (&n.amount, strides[1])]
                        .map(|(table, stride)| {
                            _mm512_loadu_si512(table.as_ptr().add(t * stride + first).cast())
                        });
                    let spike =
                        _mm_loadu_si128(n.spike.as_ptr().add(t * strides[2] + first).cast());
                    let fires = _mm512_cmpge_epi32_mask(v, threshold);
                    let left = hard.unwrap_or(_mm512_sub_epi32(v, amount));
                    v = _mm512_mask_mov_epi32(v, fires, left);
                    let bytes = _mm_mask_mov_epi8(silence, fires, spike);
                    _mm_mask_storeu_epi8(to.cast(), mask, bytes);
                    to = to.wrapping_add(sent.stride);
                }
            }
        }
    }
}

/// # Safety
/// The processor has AVX-512, and the arguments were checked.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn answer(n: &Line, input: &Input<'_>, sent: &mut Sent<'_>) {
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
