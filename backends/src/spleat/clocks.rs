//! Clocks that the core of an image spends on samples ([`cycles`]).

use super::cycles::{self, Sent};
use super::{Checksums, Layer, Manifest, read_layers};
use crate::{Clocks, FileSource, PipelineClocks, ReadError};

/// The layers of an image, ready to count clocks.
pub(super) struct ImageClocks {
    manifest: Manifest,
    layers: Vec<Layer>,
}

impl ImageClocks {
    /// Of the image whose manifest is the file `entry`.
    ///
    /// # Errors
    /// When it is no image.
    pub(super) fn of(files: &dyn FileSource, entry: &str) -> Result<ImageClocks, ReadError> {
        let (manifest, layers) = read_layers(files, entry, Checksums::Checked)?;
        Ok(ImageClocks { manifest, layers })
    }
}

impl Clocks for ImageClocks {
    fn concerns(&self, population: &str) -> bool {
        self.manifest.inputs.iter().any(|i| i.name == population)
            || self.layers.iter().any(|l| l.name == population)
    }

    fn pipeline(&self, samples: &[Sent]) -> Result<PipelineClocks, String> {
        let begin = cycles::clearing(&self.layers) + 1;
        let table = |sent| cycles::timetable(&self.manifest, &self.layers, sent, begin);
        let alone = samples.iter().map(|sample| {
            let latencies = table(std::slice::from_ref(sample))?.latencies();
            latencies.first().copied().ok_or_else(|| "a sample without words".to_owned())
        });
        let latencies = alone.collect::<Result<Vec<u64>, String>>()?;
        let interval = match samples {
            [_, _, ..] => table(samples)?.interval(),
            _ => None,
        };
        Ok(PipelineClocks { latencies, interval })
    }
}
