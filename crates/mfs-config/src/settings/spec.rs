//! Descriptions of options, and the macro that makes a table of them into a type.

use super::value::{Outside, Rule};

/// One option of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptionSpec {
    /// Its name in the file.
    pub name: &'static str,
    /// Its value when the file does not define it.
    pub default: DefaultValue,
    /// When a changed value takes effect.
    pub reload: Reload,
    /// What it is for.
    pub help: &'static str,
    /// True when its text should not be told to whoever asks.
    pub secret: bool,
    pub(crate) rule: Rule,
    /// True when a start fails on a text that cannot be understood.
    pub(crate) refuse: bool,
    pub(crate) aliases: &'static [Alias],
}

/// The value of an option that the file does not define.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// As if the file had this text.
    Text(&'static str),
    /// It follows from other options, as described.
    Derived(&'static str),
    /// None: what the option is about is switched off.
    Unset,
}

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// At the next reload.
    Live,
    /// At the next start.
    Restart,
}

/// A deprecated name of an option.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Alias {
    pub(crate) name: &'static str,
    pub(crate) conversion: Conversion,
    /// The alias does not count when one of these is defined; the option's own name should be one of
    /// them, unless the alias is to win over it.
    pub(crate) unless: &'static [&'static str],
}

/// How the text of an alias becomes a text of its option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    Same,
    /// A fraction becomes a percentage.
    TimesHundred,
}

/// An option whose changes a reload takes over and whose text is up to the type of its value.
pub(crate) const fn option(name: &'static str, default: DefaultValue) -> OptionSpec {
    OptionSpec {
        name,
        default,
        reload: Reload::Live,
        help: "",
        secret: false,
        rule: Rule::Own,
        refuse: false,
        aliases: &[],
    }
}

impl OptionSpec {
    /// A whole number that is clamped to a range.
    pub(crate) const fn clamped(self, min: i64, max: i64) -> Self {
        self.whole(min, max, Outside::Clamp)
    }

    /// A whole number.
    pub(crate) const fn whole(self, min: i64, max: i64, outside: Outside) -> Self {
        Self {
            rule: Rule::Int { min, max, outside },
            ..self
        }
    }

    pub(crate) const fn rule(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    pub(crate) const fn restart(self) -> Self {
        Self {
            reload: Reload::Restart,
            ..self
        }
    }

    pub(crate) const fn refuse(self) -> Self {
        Self {
            refuse: true,
            ..self
        }
    }

    pub(crate) const fn secret(self) -> Self {
        Self {
            secret: true,
            ..self
        }
    }

    pub(crate) const fn aliases(self, aliases: &'static [Alias]) -> Self {
        Self { aliases, ..self }
    }
}

/// Makes a configuration type from a list of options: the struct with one public field for each, the
/// table [`OptionSpec`]s, and everything that goes over all options. The type adds `finish`, for what
/// concerns more than one option.
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        pub struct $config:ident from $file_name:literal, ignoring $ignored:expr;

        $( $(#[doc = $help:literal])+ $field:ident : $type:ty = $spec:expr; )*
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone)]
        pub struct $config {
            $( $(#[doc = $help])+ pub $field: $type, )*
            file: std::path::PathBuf,
            definitions: $crate::settings::Definitions,
        }

        impl $config {
            /// Name of the file in the configuration directory.
            pub const FILE_NAME: &'static str = $file_name;

            /// Every option that this version knows.
            pub const OPTIONS: &'static [$crate::settings::OptionSpec] =
                &[$( $crate::settings::OptionSpec { help: concat!($($help),+), ..$spec } ),*];

            /// Parses the text of a file for a start. `file` is where a reload will look.
            ///
            /// # Errors
            /// [`ConfigError`](crate::ConfigError) for a value that the program must not start with.
            pub fn parse(
                text: &[u8],
                file: &std::path::Path,
            ) -> Result<$crate::Loaded<Self>, $crate::settings::ConfigError> {
                Self::read(text, file, None)
            }

            /// Parses the text of the same file again while the program runs. Texts that cannot be understood
            /// leave the running value, and so do changes of options that need a restart, each with a warning.
            ///
            /// # Errors
            /// None in practice: there is a running value for everything.
            pub fn reparse(&self, text: &[u8]) -> Result<$crate::Loaded<Self>, $crate::settings::ConfigError> {
                Self::read(text, &self.file, Some(self))
            }

            /// Finds, reads and parses the file for a start (spec 01 §3.2 step 1): the explicit one, or the
            /// default one, whose absence means defaults.
            ///
            /// # Errors
            /// The explicit file is missing, the file is unreadable, or as [`Self::parse`].
            pub fn load(
                explicit: Option<&std::path::Path>,
                directory: &$crate::ConfigDirectory,
            ) -> Result<$crate::Loaded<Self>, $crate::settings::ConfigError> {
                let $crate::Located { file, explicit, warning } = directory.locate(explicit, Self::FILE_NAME);
                let (text, missing) = match $crate::read(&file) {
                    Err($crate::FileError::NotFound(_)) if !explicit => (Vec::new(), true),
                    text => (text?, false),
                };
                let mut loaded = Self::parse(&text, &file)?;
                let missing = missing.then(|| $crate::Warning {
                    file: file.into(),
                    line: None,
                    kind: $crate::WarningKind::Missing,
                });
                loaded.warnings.splice(0..0, warning.into_iter().chain(missing));
                Ok(loaded)
            }

            /// Reads and parses the file again while the program runs, see [`Self::reparse`].
            ///
            /// # Errors
            /// The file is missing or unreadable: the caller keeps what it has.
            pub fn reload(&self) -> Result<$crate::Loaded<Self>, $crate::settings::ConfigError> {
                self.reparse(&$crate::read(&self.file)?)
            }

            /// The file, absolute if it was loaded.
            #[must_use]
            pub fn file(&self) -> &std::path::Path {
                &self.file
            }

            /// What the file assigns to a name, known or not; `None` when it does not define it
            /// (GET_CONFIG, spec 04 §2.7).
            #[must_use]
            pub fn raw(&self, option: &str) -> Option<&str> {
                self.definitions.get(option).map(|definition| definition.text.as_str())
            }

            /// Names and texts of the defaults that were used, in the order of [`Self::OPTIONS`].
            pub fn defaults_used(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
                Self::OPTIONS.iter().filter_map(|spec| match spec.default {
                    $crate::settings::DefaultValue::Text(text) if !spec.is_defined(&self.definitions) => {
                        Some((spec.name, text))
                    }
                    _ => None,
                })
            }

            fn read(
                text: &[u8],
                file: &std::path::Path,
                running: Option<&Self>,
            ) -> Result<$crate::Loaded<Self>, $crate::settings::ConfigError> {
                let mut warnings = $crate::warning::Warnings::new(file);
                let definitions = $crate::settings::Definitions::parse(text, &mut warnings);
                let mut reader = $crate::settings::Reader::new(file, &definitions, warnings);
                let mut config = Self {
                    $( $field: {
                        const SPEC: $crate::settings::OptionSpec = $spec;
                        reader.take(&SPEC, running.map(|running| &running.$field))?
                    }, )*
                    file: file.to_owned(),
                    definitions: $crate::settings::Definitions::default(),
                };
                config.finish(&mut reader, running);
                let warnings = reader.finish(Self::OPTIONS, $ignored);
                config.definitions = definitions;
                Ok(warnings.finish(config))
            }
        }
    };
}
pub(crate) use settings;
