//! Recordings cut into timesteps.

use super::{Event, EventError, MAX_BINS, Recording};

/// What a pixel brings in a timestep in which it had several events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As many as it had: a payload.
    #[default]
    Counts,
    /// 1, as on a frame.
    Frames,
}

/// How a recording is cut into timesteps for one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bins {
    /// Microseconds of a timestep, at least 1.
    pub microseconds: u64,
    /// What a pixel brings that had several events.
    pub form: Form,
    shape: [usize; 3],
}

impl Bins {
    /// For an input of `shape`: (2, H, W) with the darker events in channel 0 and the brighter in
    /// channel 1, as N-MNIST has them, or (1, H, W) and (H, W) with both together. Dimensions of
    /// size 1 before these do not count.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn new(shape: &[usize], microseconds: u64, form: Form) -> Result<Bins, EventError> {
        let refuse = || EventError::Shape(shape.to_vec());
        let mut inner = shape;
        while let ([1, rest @ ..], true) = (inner, inner.len() > 3) {
            inner = rest;
        }
        let shape = match *inner {
            [height, width] => [1, height, width],
            [channels @ 1..=2, height, width] => [channels, height, width],
            _ => return Err(refuse()),
        };
        Ok(Bins { microseconds: microseconds.max(1), form, shape })
    }

    /// Leaves out the events that lie outside of the input.
    pub fn crop(&self, recording: &mut Recording) {
        recording.events.retain(|event| self.cell(0, event).is_ok());
    }

    /// Finds what keeps a recording from being cut into timesteps.
    ///
    /// # Errors
    /// When an event lies outside of the input, or there would be more than [`MAX_BINS`] timesteps.
    pub fn check(&self, recording: &Recording) -> Result<(), EventError> {
        self.count(recording)?;
        let each = recording.events.iter().enumerate();
        each.map(|(index, event)| self.cell(index, event)).try_for_each(|cell| cell.map(|_| ()))
    }

    /// How many timesteps a recording takes: to its last event, at least 1.
    ///
    /// # Errors
    /// When there would be more than [`MAX_BINS`].
    pub fn count(&self, recording: &Recording) -> Result<usize, EventError> {
        let last = recording.events.last().map_or(0, |e| e.microseconds);
        match usize::try_from(last / self.microseconds) {
            Ok(bin) if bin < MAX_BINS => Ok(bin + 1),
            _ => Err(EventError::TooLong(last)),
        }
    }

    /// Values of the timesteps `from` and following, `count` of them: one row for each, in the order
    /// channel, row, column.
    ///
    /// # Errors
    /// When an event lies outside the input.
    pub fn rows(
        &self,
        recording: &Recording,
        from: usize,
        count: usize,
    ) -> Result<Vec<Vec<i64>>, EventError> {
        let mut rows = vec![vec![0i64; self.shape.iter().product()]; count];
        let start = (from as u64).saturating_mul(self.microseconds);
        let first = recording.events.partition_point(|e| e.microseconds < start);
        for (index, event) in recording.events.iter().enumerate().skip(first) {
            let bin = usize::try_from((event.microseconds - start) / self.microseconds);
            let Some(row) = bin.ok().and_then(|bin| rows.get_mut(bin)) else { break };
            let cell = self.cell(index, event)?;
            row[cell] = match self.form {
                Form::Counts => row[cell] + 1,
                Form::Frames => 1,
            };
        }
        Ok(rows)
    }

    fn cell(&self, index: usize, event: &Event) -> Result<usize, EventError> {
        let [channels, height, width] = self.shape;
        let (x, y) = (usize::from(event.x), usize::from(event.y));
        if x >= width || y >= height {
            return Err(EventError::Outside { index, x: event.x, y: event.y, width, height });
        }
        let channel = if channels == 2 { usize::from(event.brighter) } else { 0 };
        Ok((channel * height + y) * width + x)
    }
}
