//! One list per wire of every message and its opcode, from which the enum, the opcode of a value
//! and the decoder are made: a message cannot be added to one of them and forgotten in another.

/// Defines a message enum. Opcodes are part of the wire format and are never used again.
macro_rules! messages {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $opcode:literal => $variant:ident($body:ty),)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $($(#[$vdoc])* $variant($body),)*
        }

        impl $name {
            /// Every opcode of this wire with the name of its message.
            pub const OPCODES: &'static [(u16, &'static str)] = &[$(($opcode, stringify!($variant)),)*];

            /// The opcode that goes into the frame header.
            #[must_use]
            pub const fn opcode(&self) -> u16 {
                match self { $(Self::$variant(_) => $opcode,)* }
            }

            /// The message's name, for logs and traces.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($variant),)* }
            }

            /// Appends the body's bytes.
            pub fn encode_body(&self, out: &mut Vec<u8>) {
                match self { $(Self::$variant(body) => $crate::codec::encode(body, out),)* }
            }

            /// Reads a body.
            ///
            /// # Errors
            /// The opcode is not of this wire, or the body is not exactly one message of that kind.
            pub fn decode_body(opcode: u16, body: &[u8]) -> Result<Self, $crate::codec::DecodeError> {
                match opcode {
                    $($opcode => $crate::codec::decode(body).map(Self::$variant),)*
                    other => Err($crate::codec::DecodeError::UnknownOpcode(other)),
                }
            }
        }

        $(impl From<$body> for $name {
            fn from(body: $body) -> Self {
                Self::$variant(body)
            }
        })*
    };
}

pub(crate) use messages;
