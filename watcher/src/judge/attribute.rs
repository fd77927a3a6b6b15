//! attribute
pub fn weigh(_w: &crate::store::Window, _b: &super::Bounds, _t: &super::Thresholds) -> super::Judgement {
    unreachable!()
}
