//! How much each part of the health score counts.
use super::{Health, HealthComponent, RuleSource};
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// Most points that each component of the score can cost. Together they are 100, as the shipped ones are, so that a score of
/// 0 is reached when everything is as bad as can be and not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HealthWeights {
    /// The server answers and the collectors work.
    pub availability: u8,
    /// Connection slots.
    pub connections: u8,
    /// Slow and long-running statements.
    pub latency: u8,
    /// Lock waits and blocking chains.
    pub locks: u8,
    /// Standbys and slots.
    pub replication: u8,
    /// Cache hits and temporary files.
    pub cache: u8,
    /// Vacuum, wraparound, horizon.
    pub maintenance: u8,
    /// WAL, checkpoints, archiver.
    pub wal: u8,
    /// Disk, growth, wasted space.
    pub capacity: u8,
    /// Backups and restore tests.
    pub backups: u8,
}

impl Default for HealthWeights {
    /// As shipped.
    fn default() -> Self {
        Self {
            availability: 15,
            connections: 12,
            latency: 12,
            locks: 10,
            replication: 12,
            cache: 7,
            maintenance: 12,
            wal: 6,
            capacity: 6,
            backups: 8,
        }
    }
}

impl HealthWeights {
    /// Components that have a weight, in the order in which they are shown.
    pub const COMPONENTS: [HealthComponent; 10] = [
        HealthComponent::Availability,
        HealthComponent::Connections,
        HealthComponent::Latency,
        HealthComponent::Locks,
        HealthComponent::Replication,
        HealthComponent::Cache,
        HealthComponent::Maintenance,
        HealthComponent::Wal,
        HealthComponent::Capacity,
        HealthComponent::Backups,
    ];
    /// Most that one component may have: a score that is one figure in disguise says less than the figure.
    pub const MOST: u8 = 40;

    fn slot(&mut self, component: HealthComponent) -> Option<&mut u8> {
        Some(match component {
            HealthComponent::Availability => &mut self.availability,
            HealthComponent::Connections => &mut self.connections,
            HealthComponent::Latency => &mut self.latency,
            HealthComponent::Locks => &mut self.locks,
            HealthComponent::Replication => &mut self.replication,
            HealthComponent::Cache => &mut self.cache,
            HealthComponent::Maintenance => &mut self.maintenance,
            HealthComponent::Wal => &mut self.wal,
            HealthComponent::Capacity => &mut self.capacity,
            HealthComponent::Backups => &mut self.backups,
            HealthComponent::Alerts => return None,
        })
    }

    /// Most points that a component can cost. Open alerts have no weight: they cap the score.
    pub fn of(mut self, component: HealthComponent) -> u8 {
        self.slot(component).map_or(100, |weight| *weight)
    }

    /// Reads the fields of a form, by the components' names; each must be there.
    ///
    /// # Errors
    /// The field and what is allowed.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, (String, String)> {
        let mut weights = Self::default();
        for component in Self::COMPONENTS {
            let name = component.as_str();
            let text = get(name).unwrap_or_default();
            let value = text.trim().parse::<u8>().ok().filter(|value| *value <= Self::MOST);
            let value = value.ok_or_else(|| {
                (name.to_owned(), format!("{name}: '{}' is not a whole number from 0 to {}", text.trim(), Self::MOST))
            })?;
            if let Some(slot) = weights.slot(component) {
                *slot = value;
            }
        }
        weights.check()?;
        Ok(weights)
    }

    /// Whether they can be in force.
    ///
    /// # Errors
    /// The field and what is allowed.
    pub fn check(self) -> Result<(), (String, String)> {
        let mut sum = 0_u32;
        for component in Self::COMPONENTS {
            let (name, weight) = (component.as_str(), self.of(component));
            if weight > Self::MOST {
                return Err((
                    name.to_owned(),
                    format!("{name} has {weight} points; one component has at most {}", Self::MOST),
                ));
            }
            sum += u32::from(weight);
        }
        let advice = match sum {
            100 => return Ok(()),
            0..100 => format!("give {} more", 100 - sum),
            _ => format!("take {} away", sum - 100),
        };
        Err(("weights".to_owned(), format!("the points add up to {sum}; they must add up to 100: {advice}")))
    }
}

/// The score of a cluster, and how it is weighed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HealthWeightsView {
    /// Id of the cluster.
    pub cluster: String,
    /// Its score now, line by line.
    pub health: Health,
    /// What is in force.
    pub weights: HealthWeights,
    /// Where that comes from.
    pub source: RuleSource,
    /// Who set it; `None` when it is as shipped.
    pub updated_by: Option<String>,
    /// When; `None` when it is as shipped.
    pub updated_at: Option<Timestamp>,
    /// As shipped.
    pub shipped: HealthWeights,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_ones_are_allowed_and_others_must_add_up() {
        HealthWeights::default().check().unwrap();
        let (field, message) = HealthWeights { backups: 2, ..HealthWeights::default() }.check().unwrap_err();
        assert_eq!(
            (field.as_str(), message.as_str()),
            ("weights", "the points add up to 94; they must add up to 100: give 6 more")
        );
        let (field, message) = HealthWeights { cache: 41, ..HealthWeights::default() }.check().unwrap_err();
        assert!(field == "cache" && message.contains("at most 40"), "{message}");
    }

    #[test]
    fn a_part_is_called_on_pages_as_in_the_api_but_for_capitals() {
        for component in HealthWeights::COMPONENTS.into_iter().chain([HealthComponent::Alerts]) {
            let label = component.label();
            assert_eq!(label.to_lowercase(), component.as_str());
            assert!(label.starts_with(char::is_uppercase), "{label}");
        }
        assert_eq!(HealthComponent::Wal.label(), "WAL");
    }

    #[test]
    fn a_form_is_read_whole() {
        let with = |changed: &'static str, to: &'static str| {
            HealthWeights::read(move |name| {
                let component = HealthWeights::COMPONENTS.into_iter().find(|it| it.as_str() == name)?;
                Some(if name == changed { to.to_owned() } else { HealthWeights::default().of(component).to_string() })
            })
        };
        assert_eq!(with("", "").unwrap(), HealthWeights::default());
        for wrong in ["", "-1", "41", "3.5", "many"] {
            let (field, message) = with("locks", wrong).unwrap_err();
            assert!(field == "locks" && message.contains("0 to 40"), "{message}");
        }
        assert_eq!(with("locks", "11").unwrap_err().0, "weights");
    }
}
