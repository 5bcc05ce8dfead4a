//! Takes values of options from the definitions of a file.

use std::path::{Path, PathBuf};

use super::spec::{Alias, Conversion, DefaultValue, OptionSpec, Reload};
use super::syntax::{Definition, Definitions};
use super::value::{OptionValue, Parsed, SettingProblem, leading_float};
use crate::file::FileError;
use crate::warning::Warnings;

/// A program cannot start with this configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be had.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value that it must not start with.
    #[error("{}{}: {option} = '{text}' {problem}", file.display(), line.map_or(String::new(), |line| format!(":{line}")))]
    Unusable {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: Option<u32>,
        /// Name of the option.
        option: &'static str,
        /// What the file assigns to it.
        text: String,
        /// What is wrong with it.
        problem: SettingProblem,
    },
}

/// A remark about a line of a `NAME = VALUE` file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingWarning {
    /// Line ignored. Only the part before `=` is repeated.
    #[error("bad definition of '{0}' (line ignored)")]
    BadDefinition(String),
    /// The later definition counts.
    #[error("option '{option}' was defined in line {earlier} already - using this definition")]
    Repeated {
        /// Name of the option.
        option: String,
        /// Line of the other definition.
        earlier: u32,
    },
    /// Definition ignored.
    #[error("unknown option '{0}' (ignored)")]
    Unknown(String),
    /// Definition used.
    #[error("option '{option}' is deprecated - use {instead}")]
    Deprecated {
        /// The old name.
        option: &'static str,
        /// The new name or names.
        instead: &'static str,
    },
    /// Another value is used.
    #[error("{option} = '{text}' {problem} - using {used}")]
    Adjusted {
        /// Name of the option.
        option: &'static str,
        /// What the file assigns to it.
        text: String,
        /// What is remarkable.
        problem: SettingProblem,
        /// The value in use.
        used: String,
    },
    /// The default, or at a reload the running value, is used.
    #[error("{option} = '{text}' {problem} - using {}", if *.running { "the running value" } else { "the default" })]
    Unusable {
        /// Name of the option.
        option: &'static str,
        /// What the file assigns to it.
        text: String,
        /// What is wrong.
        problem: SettingProblem,
        /// True at a reload.
        running: bool,
    },
    /// The running value stays.
    #[error("a change of {0} needs a restart")]
    NeedsRestart(&'static str),
    /// Another value is used because of another option.
    #[error("{option} {reason} - using {used}")]
    Conflict {
        /// Name of the option.
        option: &'static str,
        /// What does not fit.
        reason: &'static str,
        /// What is done.
        used: String,
    },
}

/// Reads the options of one file.
pub(crate) struct Reader<'a> {
    file: &'a Path,
    definitions: &'a Definitions,
    warnings: Warnings,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: &'a Path, definitions: &'a Definitions, warnings: Warnings) -> Self {
        Self {
            file,
            definitions,
            warnings,
        }
    }

    /// The value of an option. `running` is the value in use, at a reload.
    pub(crate) fn take<T: OptionValue>(
        &mut self,
        spec: &OptionSpec,
        running: Option<&T>,
    ) -> Result<T, ConfigError> {
        let value = match spec.definition(self.definitions) {
            None => self.default(spec)?,
            Some((definition, alias)) => self.defined(spec, definition, alias, running)?,
        };
        match running {
            Some(running) if spec.reload == Reload::Restart && *running != value => {
                self.warn(spec.name, SettingWarning::NeedsRestart(spec.name));
                Ok(running.clone())
            }
            _ => Ok(value),
        }
    }

    /// True when the file defines this very name.
    pub(crate) fn defines(&self, name: &str) -> bool {
        self.definitions.get(name).is_some()
    }

    /// Adds a warning at the line that defines `name`, if one does.
    pub(crate) fn warn(&mut self, name: &str, warning: SettingWarning) {
        let line = self.definitions.get(name).map(|definition| definition.line);
        self.warnings.push(line, warning);
    }

    /// Names what nobody has asked for.
    pub(crate) fn finish(mut self, options: &[OptionSpec], ignored: &[&str]) -> Warnings {
        for (name, definition) in self.definitions.in_order() {
            let known = options.iter().any(|spec| {
                spec.name == name || spec.aliases.iter().any(|alias| alias.name == name)
            });
            if !known && !ignored.contains(&name) {
                self.warnings.push(
                    Some(definition.line),
                    SettingWarning::Unknown(name.to_owned()),
                );
            }
        }
        self.warnings
    }

    fn default<T: OptionValue>(&self, spec: &OptionSpec) -> Result<T, ConfigError> {
        let DefaultValue::Text(text) = spec.default else {
            return Ok(T::default());
        };
        match T::parse(text, &spec.rule) {
            Parsed::Good(value) | Parsed::Adjusted(value, _) => Ok(value),
            Parsed::Unusable(problem) => Err(self.error(spec, None, text, problem)),
        }
    }

    fn defined<T: OptionValue>(
        &mut self,
        spec: &OptionSpec,
        definition: &Definition,
        alias: Option<&Alias>,
        running: Option<&T>,
    ) -> Result<T, ConfigError> {
        if let Some(alias) = alias {
            let warning = SettingWarning::Deprecated {
                option: alias.name,
                instead: spec.name,
            };
            self.warnings.push(Some(definition.line), warning);
        }
        let converted = match (alias, leading_float(&definition.text)) {
            (
                Some(Alias {
                    conversion: Conversion::TimesHundred,
                    ..
                }),
                Some((number, _)),
            ) => (number * 100.0).to_string(),
            _ => definition.text.clone(),
        };
        let option = alias.map_or(spec.name, |alias| alias.name);
        let text = definition.text.clone();
        match T::parse(&converted, &spec.rule) {
            Parsed::Good(value) => Ok(value),
            Parsed::Adjusted(value, problem) => {
                let used = format!("{value:?}");
                let warning = SettingWarning::Adjusted {
                    option,
                    text,
                    problem,
                    used,
                };
                self.warnings.push(Some(definition.line), warning);
                Ok(value)
            }
            Parsed::Unusable(problem)
                if spec.refuse && problem != SettingProblem::Empty && running.is_none() =>
            {
                Err(self.error(spec, Some(definition.line), &text, problem))
            }
            Parsed::Unusable(problem) => {
                let warning = SettingWarning::Unusable {
                    option,
                    text,
                    problem,
                    running: running.is_some(),
                };
                self.warnings.push(Some(definition.line), warning);
                match running {
                    Some(running) => Ok(running.clone()),
                    None => self.default(spec),
                }
            }
        }
    }

    fn error(
        &self,
        spec: &OptionSpec,
        line: Option<u32>,
        text: &str,
        problem: SettingProblem,
    ) -> ConfigError {
        ConfigError::Unusable {
            file: self.file.to_owned(),
            line,
            option: spec.name,
            text: text.to_owned(),
            problem,
        }
    }
}

impl OptionSpec {
    /// True when the option or an alias that counts is defined.
    pub(crate) fn is_defined(&self, definitions: &Definitions) -> bool {
        self.definition(definitions).is_some()
    }

    fn definition<'a>(
        &self,
        definitions: &'a Definitions,
    ) -> Option<(&'a Definition, Option<&'static Alias>)> {
        let alias = self.aliases.iter().find_map(|alias| {
            let definition = definitions.get(alias.name)?;
            let hidden = alias
                .unless
                .iter()
                .any(|name| definitions.get(name).is_some());
            (!hidden).then_some((definition, Some(alias)))
        });
        alias.or_else(|| {
            definitions
                .get(self.name)
                .map(|definition| (definition, None))
        })
    }
}
