//! What is looked for.
use crate::CatalogError;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Most values in one list of a filter.
const MOST_VALUES: usize = 50;
/// Longest search text.
const LONGEST_QUERY: usize = 200;

/// Conditions; all of those that are given must hold. Values within one list are alternatives, but for tags and
/// keywords, of which all must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PluginFilter {
    /// Words that begin like these, in name, keywords, tags, category or description.
    pub query: Option<String>,
    /// Any of them.
    pub categories: Vec<String>,
    /// Any of them.
    pub statuses: Vec<String>,
    /// Any of them.
    pub environments: Vec<String>,
    /// Any of them.
    pub owners: Vec<String>,
    /// All of them.
    pub tags: Vec<String>,
    /// All of them.
    pub keywords: Vec<String>,
    /// From 0 to 100.
    pub health_min: Option<i16>,
    /// From 0 to 100.
    pub health_max: Option<i16>,
    /// Installed or not.
    pub installed: Option<bool>,
    /// Enabled or not.
    pub enabled: Option<bool>,
}

impl PluginFilter {
    pub(crate) fn check(&self) -> Result<(), CatalogError> {
        for (field, values) in [
            ("category", &self.categories),
            ("status", &self.statuses),
            ("environment", &self.environments),
            ("owner", &self.owners),
            ("tag", &self.tags),
            ("keyword", &self.keywords),
        ] {
            if values.len() > MOST_VALUES {
                return Err(CatalogError::invalid(field, format!("at most {MOST_VALUES} values of {field}")));
            }
        }
        for (field, health) in [("health_min", self.health_min), ("health_max", self.health_max)] {
            if health.is_some_and(|health| !(0..=100).contains(&health)) {
                return Err(CatalogError::invalid(field, format!("{field} is a number from 0 to 100")));
            }
        }
        if let (Some(least), Some(most)) = (self.health_min, self.health_max)
            && least > most
        {
            return Err(CatalogError::invalid(
                "health_min",
                format!("health_min is {least} and health_max {most}: no health is both"),
            ));
        }
        if self.query.as_ref().is_some_and(|query| query.len() > LONGEST_QUERY) {
            return Err(CatalogError::invalid("q", format!("a search has at most {LONGEST_QUERY} bytes")));
        }
        Ok(())
    }

    /// Whether it leaves out anything at all, words aside.
    pub(crate) fn is_narrow(&self) -> bool {
        *self != Self { query: self.query.clone(), ..Self::default() }
    }

    /// The words looked for, in lower case.
    pub(crate) fn words(&self) -> impl Iterator<Item = String> {
        let query = self.query.as_deref().unwrap_or_default();
        query.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
    }

    /// The search as a `tsquery` of the configuration `simple`: every word, each as a beginning. `None` without a word.
    pub(crate) fn tsquery(&self) -> Option<String> {
        let words = self.words().map(|word| format!("'{word}':*")).collect::<Vec<_>>();
        (!words.is_empty()).then(|| words.join(" & "))
    }
}

/// The order; ids break ties, so that pages never overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sort {
    /// The healthiest first.
    #[default]
    HealthDown,
    /// The sickest first.
    HealthUp,
    /// By name.
    Name,
    /// The latest changed first.
    UpdatedDown,
    /// What matches best first; without a search as [`Self::HealthDown`].
    Relevance,
}

impl FromStr for Sort {
    type Err = CatalogError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "-health" => Self::HealthDown,
            "health" => Self::HealthUp,
            "name" => Self::Name,
            "-updated" => Self::UpdatedDown,
            "relevance" => Self::Relevance,
            _ => {
                return Err(CatalogError::invalid("sort", "sort is -health, health, name, -updated or relevance"));
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_words_and_nothing_else() {
        let query = |text: &str| PluginFilter { query: Some(text.to_owned()), ..Default::default() }.tsquery();
        assert_eq!(query("Swift pipe").unwrap(), "'swift':* & 'pipe':*");
        assert_eq!(query("a'b | !c:* <-> \\ (").unwrap(), "'a':* & 'b':* & 'c':*");
        assert_eq!(query(" &!| "), None);
    }

    #[test]
    fn wrong_values_are_named() {
        let wrong = PluginFilter { health_min: Some(101), ..Default::default() }.check().unwrap_err();
        assert!(wrong.to_string().contains("health_min"));
        let wrong = PluginFilter { health_min: Some(60), health_max: Some(40), ..Default::default() };
        assert!(wrong.check().unwrap_err().to_string().contains("health_max 40"));
        assert!(PluginFilter { health_min: Some(40), health_max: Some(40), ..Default::default() }.check().is_ok());
        assert!("size".parse::<Sort>().is_err());
    }
}
