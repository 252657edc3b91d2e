//! AVX-512: sixteen neurons are looked at together, 64 outputs added up.

use std::arch::x86_64::*;

use super::{BLOCK, LINE, Layout, MOST, Run, Spikes, Work};

/// Weights that are read at random stay below so many bytes, where they can.
const NEAR: usize = 1 << 17;

/// Weights of more bytes come from so far that they are asked for beforehand.
const FAR: usize = 1 << 19;

/// # Safety
/// The processor has AVX-512, `bytes` has the layout's length, and there are entries for every byte
/// and one register more.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn collect(spikes: &mut Spikes, bytes: &[u8], layout: Layout) {
    let lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let lane = _mm512_mullo_epi32(lane, _mm512_set1_epi32(LINE as i32));
    let entries = spikes.entries.as_mut_ptr();
    let mut count = 0;
    for line in 0..layout.lines {
        for t in 0..layout.steps {
            for x in 0..layout.places {
                spikes.starts.push(count as u32);
                let from = (line * layout.places + x) * layout.place_len() + t * layout.stride;
                for first in (0..layout.stride).step_by(BLOCK) {
                    let left = layout.stride - first;
                    let mask = if left < BLOCK { (1 << left) - 1 } else { u16::MAX };
                    let own = ((x * layout.stride + first) * LINE) as i32;
                    // SAFETY: bytes beyond the place are masked, and there is room for the entries.
                    unsafe {
                        let sent = bytes.as_ptr().add(from + first).cast();
                        let sent = _mm_maskz_loadu_epi8(mask, sent);
                        let fired = _mm_test_epi8_mask(sent, sent);
                        let own = _mm512_add_epi32(lane, _mm512_set1_epi32(own));
                        let own = _mm512_maskz_compress_epi32(fired, own);
                        _mm512_storeu_si512(entries.add(count).cast(), own);
                        count += fired.count_ones() as usize;
                    }
                }
            }
        }
    }
    spikes.starts.push(count as u32);
}

/// # Safety
/// The processor has AVX-512, every place with all its taps lies in the map, and `sums` has room for
/// all rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn run(work: &Work<'_>, sums: &mut [i32]) {
    let (part_len, parts) = (work.sums.inputs * LINE, work.width.div_ceil(LINE));
    let runs = &work.sums.runs;
    // Parts are taken together, or the runs of one part apart.
    let together = if 4 * part_len <= NEAR { 4 } else { 1 + usize::from(2 * part_len <= NEAR) };
    let chunk = if part_len <= NEAR { runs.len() } else { 1 };
    let mut part = 0;
    while part < parts {
        let own = match together.min(parts - part) {
            4.. => 4,
            2.. => 2,
            _ => 1,
        };
        for (i, runs) in runs.chunks(chunk.max(1)).enumerate() {
            let share = Share { part, runs, first: i == 0 };
            // SAFETY: the caller's promises, for parts and runs in range.
            unsafe {
                match own {
                    4 => add_up::<4>(work, share, sums),
                    2 => add_up::<2>(work, share, sums),
                    _ => add_up::<1>(work, share, sums),
                }
            }
        }
        part += own;
    }
}

/// What is added up in one go.
#[derive(Clone, Copy)]
struct Share<'a> {
    /// The first part.
    part: usize,
    runs: &'a [Run],
    /// Whether these are the first runs.
    first: bool,
}

/// Asks for the weights after those of a share while that is added up.
struct Ask {
    next: *const u8,
    /// Lines for each row.
    lines: usize,
}

impl Ask {
    fn new(work: &Work<'_>, share: Share<'_>, parts: usize) -> Ask {
        let taps: usize = share.runs.iter().map(|run| run.taps).sum();
        let stride = work.sums.layout.stride;
        let first = share.runs.first().map_or(0, |run| run.first);
        let from = share.part * work.sums.inputs + (first + taps) * stride;
        let rows = (work.places.len() * work.sums.layout.steps).max(1);
        // Few spikes leave many weights aside.
        let worth = parts == 1 && work.packed.len() > FAR && work.spikes.count() >= 4 * stride;
        let lines = if worth { (taps * stride).div_ceil(rows) } else { 0 };
        Ask { next: work.packed.as_ptr().wrapping_add(from * LINE), lines }
    }

    /// # Safety
    /// The processor has AVX-512.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn some(&mut self) {
        for _ in 0..self.lines {
            // Beyond the end it does nothing.
            _mm_prefetch::<_MM_HINT_T1>(self.next.cast());
            self.next = self.next.wrapping_add(LINE);
        }
    }
}

/// Adds up some runs of all rows for `P` parts of 64 outputs.
///
/// # Safety
/// As [`run`]; the parts exist.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn add_up<const P: usize>(work: &Work<'_>, share: Share<'_>, sums: &mut [i32]) {
    let length = work.sums.inputs * LINE;
    let entries = work.spikes.entries.as_ptr();
    // SAFETY: the parts exist.
    let packed = unsafe { work.packed.as_ptr().add(share.part * length) };
    let mut ask = Ask::new(work, share, P);
    for (row, (place, t)) in work.rows().enumerate() {
        // SAFETY: the processor has AVX-512.
        unsafe { ask.some() };
        let mut both = [_mm512_setzero_si512(); P];
        let mut upper = [_mm512_setzero_si512(); P];
        let (mut count, mut first, mut begun) = (0, share.first, work.add || !share.first);
        for run in share.runs {
            let (met, shift) = work.met(place, t, run);
            let weights = packed.wrapping_add(shift);
            let (mut at, end) = (met.start, met.end);
            loop {
                let stop = end.min(at + (MOST - count));
                count += stop - at;
                while at < stop {
                    // SAFETY: the entry is one of the run's spikes, so that its lines lie in the
                    // weights.
                    unsafe {
                        let line = weights.wrapping_add(*entries.add(at) as usize);
                        for p in 0..P {
                            let own = _mm512_load_si512(line.wrapping_add(p * length).cast());
                            both[p] = _mm512_add_epi16(both[p], own);
                            upper[p] = _mm512_add_epi16(upper[p], _mm512_srli_epi16::<8>(own));
                        }
                    }
                    at += 1;
                }
                if count < MOST {
                    break;
                }
                let so_far = (count, first, begun);
                // SAFETY: row and parts are in range.
                unsafe { flush(work, (row, share.part), (&mut both, &mut upper), so_far, sums) };
                (count, first, begun) = (0, false, true);
            }
        }
        let so_far = (count, first, begun);
        // SAFETY: row and parts are in range.
        unsafe { flush(work, (row, share.part), (&mut both, &mut upper), so_far, sums) };
    }
}

/// Adds to the sums what `count` spikes came to, the first time with what the sums begin with.
///
/// # Safety
/// As [`add_up`]; the row exists.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
unsafe fn flush<const P: usize>(
    work: &Work<'_>,
    (row, part): (usize, usize),
    (both, upper): (&mut [__m512i; P], &mut [__m512i; P]),
    (count, first, begun): (usize, bool, bool),
    sums: &mut [i32],
) {
    let offset = _mm512_set1_epi32(-128 * count as i32);
    let half = _mm512_set1_epi32(0xffff);
    for p in 0..P {
        let lower = _mm512_sub_epi16(both[p], _mm512_slli_epi16::<8>(upper[p]));
        let own = [
            _mm512_and_si512(lower, half),
            _mm512_and_si512(upper[p], half),
            _mm512_srli_epi32::<16>(lower),
            _mm512_srli_epi32::<16>(upper[p]),
        ];
        for (b, own) in own.into_iter().enumerate() {
            let column = (part + p) * LINE + b * BLOCK;
            if column >= work.width {
                break;
            }
            let mut sum = _mm512_add_epi32(own, offset);
            // SAFETY: the row exists, and the column lies below the width, a multiple of 16.
            unsafe {
                let to = sums.as_mut_ptr().add(row * work.width + column).cast();
                if first {
                    let initial = work.initial.as_ptr().add(column).cast();
                    sum = _mm512_add_epi32(sum, _mm512_loadu_si512(initial));
                }
                if begun {
                    sum = _mm512_add_epi32(sum, _mm512_loadu_si512(to));
                }
                _mm512_storeu_si512(to, sum);
            }
        }
        both[p] = _mm512_setzero_si512();
        upper[p] = _mm512_setzero_si512();
    }
}
