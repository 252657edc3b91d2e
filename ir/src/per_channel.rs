//! Values that are the same for all channels, or one for each.

/// One value that all channels share, or one for each channel; empty where nothing is said.
///
/// ```
/// use snnc_ir::PerChannel;
/// assert_eq!(*PerChannel::of(&[7]).at(5), 7);
/// assert_eq!(*PerChannel::of(&[1, 2, 3]).at(2), 3);
/// assert_eq!(PerChannel::of(&[0; 0]).get(2), None);
/// ```
#[derive(Debug)]
pub struct PerChannel<'a, T>(&'a [T]);

impl<T> Clone for PerChannel<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for PerChannel<'_, T> {}

impl<'a, T> PerChannel<'a, T> {
    /// Of values as they are stored: none, one, or as many as there are channels.
    #[inline]
    pub fn of(values: &'a [T]) -> Self {
        PerChannel(values)
    }

    /// Where the value of a channel lies among those that are stored.
    #[inline]
    pub fn index(self, channel: usize) -> usize {
        if self.0.len() == 1 { 0 } else { channel }
    }

    /// The value of a channel.
    ///
    /// # Panics
    /// When nothing is said, or there are fewer channels.
    #[inline]
    pub fn at(self, channel: usize) -> &'a T {
        &self.0[self.index(channel)]
    }

    /// The value of a channel, if there is one.
    #[inline]
    pub fn get(self, channel: usize) -> Option<&'a T> {
        self.0.get(self.index(channel))
    }

    /// Copies of the values of the first `channels` channels.
    ///
    /// # Panics
    /// When nothing is said, or there are fewer channels.
    pub fn expanded(self, channels: usize) -> Vec<T>
    where
        T: Clone,
    {
        (0..channels).map(|c| self.at(c).clone()).collect()
    }
}

impl<T: Copy> PerChannel<'_, T> {
    /// The value of a channel, or `otherwise` where nothing is said.
    ///
    /// # Panics
    /// When something is said, of fewer channels.
    #[inline]
    pub fn or(self, channel: usize, otherwise: T) -> T {
        if self.0.is_empty() { otherwise } else { *self.at(channel) }
    }
}

#[cfg(test)]
mod tests {
    use super::PerChannel;

    #[test]
    fn one_value_is_that_of_every_channel() {
        let shared = PerChannel::of(&[5]);
        assert_eq!((*shared.at(0), *shared.at(9), shared.get(3)), (5, 5, Some(&5)));
        assert_eq!(shared.expanded(3), [5, 5, 5]);
    }

    #[test]
    fn several_values_are_one_for_each_channel() {
        let each = PerChannel::of(&[1, 2, 3]);
        assert_eq!((*each.at(0), *each.at(2)), (1, 3));
        assert_eq!((each.get(3), each.index(2)), (None, 2));
        assert_eq!(each.expanded(2), [1, 2]);
    }

    #[test]
    fn nothing_that_is_said_is_told_from_zero() {
        let none: PerChannel<'_, i64> = PerChannel::of(&[]);
        assert_eq!((none.get(0), none.or(4, 7)), (None, 7));
        assert_eq!(PerChannel::of(&[0]).or(4, 7), 0);
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn a_channel_that_there_is_not_has_no_value() {
        PerChannel::of(&[1, 2]).at(2);
    }
}
