//! Canonical bytes of structs, enums and newtypes, from the names of their fields.

/// Whether a field says nothing: for [`canonical_struct`](crate::canonical_struct).
pub fn is_default<T: Default + PartialEq>(field: &T) -> bool {
    *field == T::default()
}

/// Derives [`Canonical`] for a struct with named fields: an array of the fields, in the order written here.
///
/// Fields behind a semicolon came later: they are written up to the last one that is not its default, so that what says nothing by
/// them has the bytes that it had before them. One value has one form: a longer one is refused.
#[macro_export]
macro_rules! canonical_struct {
    ($name:ident { $($field:ident),*; $($later:ident),* $(,)? }) => {
        impl $name {
            /// How many of the later fields are written.
            fn later_fields(&self) -> usize {
                let said = [$(!$crate::codec::is_default(&self.$later)),*];
                said.iter().rposition(|said| *said).map_or(0, |last| last + 1)
            }
        }
        impl $crate::Canonical for $name {
            fn write(&self, w: &mut $crate::Writer) {
                let count = self.later_fields();
                w.array([$(stringify!($field)),*].len() + count);
                $($crate::Canonical::write(&self.$field, w);)*
                let mut later = 0..count;
                $(if later.next().is_some() {
                    $crate::Canonical::write(&self.$later, w);
                })*
            }
            fn read(r: &mut $crate::Reader<'_>) -> Result<Self, $crate::CodecError> {
                let refused = r.invalid(stringify!($name));
                let count = r.array()?.checked_sub([$(stringify!($field)),*].len()).ok_or(refused.clone())?;
                let mut later = 0..count;
                let it = $name {
                    $($field: $crate::Canonical::read(r)?,)*
                    $($later: if later.next().is_some() { $crate::Canonical::read(r)? } else { Default::default() },)*
                };
                if it.later_fields() == count { Ok(it) } else { Err(refused) }
            }
        }
    };
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::Canonical for $name {
            fn write(&self, w: &mut $crate::Writer) {
                w.array([$(stringify!($field)),*].len());
                $($crate::Canonical::write(&self.$field, w);)*
            }
            fn read(r: &mut $crate::Reader<'_>) -> Result<Self, $crate::CodecError> {
                r.array_of([$(stringify!($field)),*].len())?;
                Ok($name { $($field: $crate::Canonical::read(r)?),* })
            }
        }
    };
}

/// Derives [`Canonical`] for an enum: an array of its number and its fields. Numbers are for ever.
///
/// Variants are unit (`Idle = 0`), named (`Timed = 1 { at, by }`) or hold one value (`Named = 2 (name)`).
#[macro_export]
macro_rules! canonical_enum {
    ($name:ident { $($variant:ident = $number:literal $({ $($field:ident),* $(,)? })? $(( $value:ident ))?),* $(,)? }) => {
        impl $crate::Canonical for $name {
            #[allow(unused_variables)]
            fn write(&self, w: &mut $crate::Writer) {
                match self {
                    $($name::$variant $({ $($field),* })? $(($value))? => {
                        w.array(1 $(+ [$(stringify!($field)),*].len())? $(+ [stringify!($value)].len())?);
                        w.uint($number);
                        $($($crate::Canonical::write($field, w);)*)?
                        $($crate::Canonical::write($value, w);)?
                    })*
                }
            }
            fn read(r: &mut $crate::Reader<'_>) -> Result<Self, $crate::CodecError> {
                let count = r.array()?;
                let error = r.invalid(stringify!($name));
                match (r.uint()?, count) {
                    $(($number, n) if n == 1 $(+ [$(stringify!($field)),*].len())? $(+ [stringify!($value)].len())? => {
                        $($(let $field = $crate::Canonical::read(r)?;)*)?
                        $(let $value = $crate::Canonical::read(r)?;)?
                        Ok($name::$variant $({ $($field),* })? $(($value))?)
                    })*
                    _ => Err(error),
                }
            }
        }
    };
}

/// Derives [`Canonical`] for a struct around one value: the value's own bytes.
#[macro_export]
macro_rules! canonical_newtype {
    ($($name:ident),* $(,)?) => {$(
        impl $crate::Canonical for $name {
            fn write(&self, w: &mut $crate::Writer) {
                $crate::Canonical::write(&self.0, w);
            }
            fn read(r: &mut $crate::Reader<'_>) -> Result<Self, $crate::CodecError> {
                Ok($name($crate::Canonical::read(r)?))
            }
        }
    )*};
}

#[cfg(test)]
mod tests {
    use crate::Canonical;

    /// Later fields are written up to the last that says something; what has another length, or ends with a default, is refused.
    #[test]
    fn later_fields_have_one_form() {
        #[derive(Clone, Debug, PartialEq)]
        struct Grown {
            first: u64,
            second: bool,
            third: Option<u64>,
        }
        canonical_struct!(Grown { first; second, third });
        let array = |parts: &[&[u8]]| [&[0x80 | parts.len() as u8][..], &parts.concat()].concat();
        let (one, no, yes, null) = (&[1][..], &[0xf4][..], &[0xf5][..], &[0xf6][..]);
        for (second, third, bytes) in [
            (false, None, array(&[one])),
            (true, None, array(&[one, yes])),
            (false, Some(1), array(&[one, no, one])),
            (true, Some(1), array(&[one, yes, one])),
        ] {
            let it = Grown { first: 1, second, third };
            assert_eq!((it.to_bytes(), Grown::from_bytes(&bytes)), (bytes, Ok(it)));
        }
        for bad in [&[][..], &[one, no], &[one, yes, null], &[one, no, null], &[one, yes, one, one]] {
            assert!(Grown::from_bytes(&array(bad)).is_err(), "{bad:?}");
        }
    }
}
