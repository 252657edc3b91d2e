//! Codes by comparison with thresholds.

use serde::{Deserialize, Serialize};

use crate::PerChannel;

/// `code = minimum + #{threshold <= x}`, with thresholds of its own for each channel: the general form
/// of a quantiser behind a function that does not fall (FINN's and QONNX's `MultiThreshold`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// The dimension along which thresholds vary.
    pub axis: usize,
    /// Code below the first threshold.
    pub minimum: i64,
    /// One row for all channels, or one for each.
    pub rows: ThresholdRows,
}

/// Rows of ascending thresholds. Rows of different lengths reach different codes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdRows {
    /// For reals.
    Reals(Vec<Vec<f32>>),
    /// For codes and accumulators, their zero points subtracted.
    Integers(Vec<Vec<i64>>),
}

impl ThresholdRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            ThresholdRows::Reals(rows) => rows.len(),
            ThresholdRows::Integers(rows) => rows.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The largest number of thresholds in a row.
    pub fn most(&self) -> usize {
        match self {
            ThresholdRows::Reals(rows) => rows.iter().map(Vec::len).max(),
            ThresholdRows::Integers(rows) => rows.iter().map(Vec::len).max(),
        }
        .unwrap_or(0)
    }

    /// What is wrong with them for an array of that extent along their axis.
    pub(crate) fn fault(&self, extent: Option<usize>) -> Option<String> {
        let (rows, ascending) = match self {
            ThresholdRows::Reals(rows) => {
                // NaN is not at most anything.
                let ordered = |row: &Vec<f32>| {
                    row.is_sorted_by(|a, b| a <= b) && !row.iter().any(|t| t.is_nan())
                };
                (rows.len(), rows.iter().all(ordered))
            }
            ThresholdRows::Integers(rows) => (rows.len(), rows.iter().all(|row| row.is_sorted())),
        };
        match extent {
            None if rows != 1 => Some("thresholds along a dimension that is not there".into()),
            Some(extent) if rows != 1 && rows != extent => {
                Some(format!("{rows} rows of thresholds for {extent} channels"))
            }
            _ if !ascending => Some("thresholds must ascend".into()),
            _ => None,
        }
    }
}

impl Thresholds {
    /// The code of a real, 0 thresholds being reached by NaN; `None` if thresholds are integers.
    pub fn of_real(&self, channel: usize, x: f32) -> Option<i64> {
        match &self.rows {
            ThresholdRows::Reals(rows) => {
                let row = PerChannel::of(rows).get(channel)?;
                Some(self.minimum + row.partition_point(|&t| t <= x) as i64)
            }
            ThresholdRows::Integers(_) => None,
        }
    }

    /// The code of an integer; `None` if thresholds are reals.
    pub fn of_integer(&self, channel: usize, v: i64) -> Option<i64> {
        match &self.rows {
            ThresholdRows::Integers(rows) => {
                let row = PerChannel::of(rows).get(channel)?;
                Some(self.minimum + row.partition_point(|&t| t <= v) as i64)
            }
            ThresholdRows::Reals(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_counted_channel_by_channel() {
        let rows = ThresholdRows::Reals(vec![vec![-1.0, 0.5, 0.5], vec![2.0]]);
        let t = Thresholds { axis: 1, minimum: -1, rows };
        assert_eq!([-2.0, -1.0, 0.5].map(|x| t.of_real(0, x)), [Some(-1), Some(0), Some(2)]);
        assert_eq!([1.9, 2.0, f32::NAN].map(|x| t.of_real(1, x)), [Some(-1), Some(0), Some(-1)]);
        assert_eq!(t.of_integer(0, 3), None);
        let one = Thresholds { rows: ThresholdRows::Integers(vec![vec![3, 7]]), ..t };
        assert_eq!([2, 3, 7].map(|v| one.of_integer(5, v)), [Some(-1), Some(0), Some(1)]);
    }

    #[test]
    fn rows_that_do_not_fit_or_fall_are_faults() {
        let rows = ThresholdRows::Integers(vec![vec![1], vec![2]]);
        assert_eq!(rows.fault(Some(2)), None);
        assert!(rows.fault(Some(3)).is_some() && rows.fault(None).is_some());
        assert!(ThresholdRows::Reals(vec![vec![1.0, f32::NAN]]).fault(Some(1)).is_some());
        assert!(ThresholdRows::Integers(vec![vec![2, 1]]).fault(Some(4)).is_some());
    }
}
