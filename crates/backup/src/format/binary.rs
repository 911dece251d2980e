//! Reading little-endian numbers from bytes that may be cut or hostile.

/// The bytes end before the value does, or a length in them is beyond reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

/// A cursor that never reads beyond the end.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `length` bytes.
    ///
    /// # Errors
    /// [`Cut`].
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Cut> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(Cut)?;
        self.0 = tail;
        Ok(head)
    }
    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`Cut`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Cut> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(Cut)?;
        self.0 = tail;
        Ok(*head)
    }
    /// A 16-bit number.
    ///
    /// # Errors
    /// [`Cut`].
    pub fn u16(&mut self) -> Result<u16, Cut> {
        self.array().map(u16::from_le_bytes)
    }
    /// A 32-bit number.
    ///
    /// # Errors
    /// [`Cut`].
    pub fn u32(&mut self) -> Result<u32, Cut> {
        self.array().map(u32::from_le_bytes)
    }
    /// A 64-bit number.
    ///
    /// # Errors
    /// [`Cut`].
    pub fn u64(&mut self) -> Result<u64, Cut> {
        self.array().map(u64::from_le_bytes)
    }
    /// A 128-bit number.
    ///
    /// # Errors
    /// [`Cut`].
    pub fn u128(&mut self) -> Result<u128, Cut> {
        self.array().map(u128::from_le_bytes)
    }
}
