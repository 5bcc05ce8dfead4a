//! A failing script made short: by leaving steps out as long as it fails in the same way.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::difference::Difference;
use crate::script::Step;

/// The shortest failing script that was found in `limit`, with its difference. `fails` runs a script on fresh
/// masters. The first step stays: it makes what the guards rely on.
pub(crate) fn shrink(
    steps: &[Step],
    difference: Difference,
    limit: Duration,
    mut fails: impl FnMut(&[Step]) -> Result<Option<Difference>>,
) -> Result<(Vec<Step>, Difference)> {
    let until = Instant::now() + limit;
    let mut steps = steps.to_vec();
    let mut found = difference;
    if let Some(label) = found.label {
        steps.retain(|step| step.label <= label);
    }
    let mut size = steps.len() / 2;
    while size > 0 {
        let mut removed = false;
        // From the end: what came last matters least often.
        let mut end = steps.len();
        while end > 1 && Instant::now() < until {
            let start = end.saturating_sub(size).max(1);
            let shorter = [&steps[..start], &steps[end..]].concat();
            match fails(&shorter)? {
                Some(difference) if difference.kind == found.kind => {
                    found = difference;
                    steps = shorter;
                    removed = true;
                    if let Some(label) = found.label {
                        steps.retain(|step| step.label <= label);
                    }
                    end = start.min(steps.len());
                }
                _ => end = start,
            }
        }
        if Instant::now() >= until {
            break;
        }
        if !removed || size > 1 {
            size /= 2;
        }
    }
    Ok((steps, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Action;

    fn fails_with(needed: &[u32], steps: &[Step]) -> Option<Difference> {
        let has = |label: &u32| steps.iter().any(|step| step.label == *label);
        needed.iter().all(has).then(|| Difference {
            label: needed.last().copied(),
            kind: 7,
            text: String::new(),
        })
    }

    #[test]
    fn only_what_is_needed_is_left() {
        let steps: Vec<Step> = (0..300)
            .map(|label| Step {
                label,
                action: Action::Tick(1),
            })
            .collect();
        let needed = [3, 77, 78, 205];
        let difference = fails_with(&needed, &steps).unwrap();
        let run = |steps: &[Step]| Ok(fails_with(&needed, steps));
        let (short, _) = shrink(&steps, difference, Duration::from_secs(60), run).unwrap();
        let labels: Vec<u32> = short.iter().map(|step| step.label).collect();
        assert_eq!(labels, [0, 3, 77, 78, 205]);
    }
}
