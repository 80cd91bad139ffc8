//! Reads choices and texts off the front of an input, so that any bytes at all mean something.

/// What is left of an input. At its end every choice is 0 and every text empty.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    /// The next two bytes, little endian.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// `0..bound`, from two bytes; 0 where `bound` is.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.short()).checked_rem(bound).unwrap_or(0)
    }

    /// At most `size` bytes.
    pub fn take(&mut self, size: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(size.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// As many bytes as the next two say.
    pub fn part(&mut self) -> &'a [u8] {
        let size = self.short();
        self.take(usize::from(size))
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }
}

/// `bytes` with their size before them, as [`Input::part`] reads it.
pub fn part(bytes: &[u8]) -> Vec<u8> {
    let size = u16::try_from(bytes.len()).expect("a seed's part is below 64 KiB");
    [&size.to_le_bytes(), bytes].concat()
}

/// Changes a file or a page as a bad disk or a bad hand would: flips, overwrites, cuts, repeats.
pub fn damage(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    let op = input.byte() % 6;
    let at = input.below(bytes.len() + 1);
    match op {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= input.byte();
            }
        }
        1 => {
            let size = usize::from(input.byte());
            for (old, new) in bytes[at..].iter_mut().zip(input.take(size)) {
                *old = *new;
            }
        }
        2 => bytes.truncate(at),
        3 => {
            let size = usize::from(input.byte());
            bytes.splice(at..at, input.take(size).iter().copied());
        }
        4 => {
            let size = usize::from(input.short()).min(bytes.len() - at);
            bytes.drain(at..at + size);
        }
        _ => {
            let from = input.below(bytes.len() + 1);
            let size = usize::from(input.short()).min(bytes.len() - from).min(bytes.len() - at);
            bytes.copy_within(from..from + size, at);
        }
    }
}
