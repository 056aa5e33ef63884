use std::time::Instant;

use crate::device::Device;
use crate::reader::Arrived;

/// A message that was acknowledged to its device and has not arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost {
    pub(crate) device: usize,
    pub(crate) number: u32,
    pub(crate) acknowledged: Instant,
}

/// What was acknowledged and has not arrived.
pub(crate) fn lost(devices: &[Device], arrived: &Arrived) -> Vec<Lost> {
    let of = |device: &Device| {
        let index = device.index;
        let missing =
            device.acknowledged.iter().filter(move |(number, _)| !arrived.has(index, *number));
        missing
            .map(|(number, at)| Lost { device: index, number: *number, acknowledged: *at })
            .collect::<Vec<_>>()
    };
    devices.iter().flat_map(of).collect()
}

/// Device and number of each message that came for the first time after a later one of the same device.
pub(crate) fn disorder(first: &[Vec<u32>]) -> Vec<(usize, u32)> {
    let mut found = Vec::new();
    for (device, numbers) in first.iter().enumerate() {
        let mut latest = None;
        for number in numbers {
            if latest.is_some_and(|latest| *number < latest) {
                found.push((device, *number));
            }
            latest = latest.max(Some(*number));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_late_is_out_of_order_and_what_is_missing_is_not() {
        assert_eq!(disorder(&[vec![0, 1, 4, 5], vec![]]), []);
        assert_eq!(disorder(&[vec![0], vec![1, 3, 2, 0, 4]]), [(1, 2), (1, 0)]);
    }
}
