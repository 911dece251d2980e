//! Pages of relation files and their checksum (`src/include/storage/checksum_impl.h`).
use domain::Lsn;

/// Bytes of a page; PostgreSQL's default, and the only size Holdfast takes.
pub const PAGE_SIZE: usize = 8_192;

const LANES: usize = 32;
const PRIME: u32 = 16_777_619;
const BASE: [u32; LANES] = [
    0x5B1F_36E9,
    0xB852_5960,
    0x02AB_50AA,
    0x1DE6_6D2A,
    0x79FF_467A,
    0x9BB9_F8A3,
    0x217E_7CD2,
    0x83E1_3D2C,
    0xF8D4_474F,
    0xE39E_B970,
    0x42C6_AE16,
    0x9932_16FA,
    0x7B09_3B5D,
    0x98DA_FF3C,
    0xF718_902A,
    0x0B1C_9CDB,
    0xE58F_764B,
    0x1876_36BC,
    0x5D7B_3BB1,
    0xE73D_E7DE,
    0x92BE_C979,
    0xCCA6_C0B2,
    0x304A_0979,
    0x85AA_43D4,
    0x7831_25BB,
    0x6CA8_EAA2,
    0xE407_EAC6,
    0x4B5C_FC3E,
    0x9FBF_8C76,
    0x15CA_20BE,
    0xF2CA_9FD3,
    0x959B_D756,
];

/// The checksum of a page at block `block` of its relation (over all its segments). The stored checksum itself counts
/// as zero.
pub fn page_checksum(page: &[u8; PAGE_SIZE], block: u32) -> u16 {
    // The lanes are multiplied side by side where the processor can; what every x86-64 has cannot.
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor was asked.
        #[expect(unsafe_code, reason = "code for a processor that was asked for its features")]
        return unsafe { checksum_avx2(page, block) };
    }
    checksum(page, block)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn checksum_avx2(page: &[u8; PAGE_SIZE], block: u32) -> u16 {
    checksum(page, block)
}

#[inline(always)]
fn checksum(page: &[u8; PAGE_SIZE], block: u32) -> u16 {
    let mut sums = BASE;
    for (row, chunk) in page.as_chunks::<{ LANES * 4 }>().0.iter().enumerate() {
        let words = chunk.as_chunks::<4>().0;
        for lane in 0..LANES {
            let mut value = u32::from_le_bytes(words[lane]);
            if row == 0 && lane == 2 {
                // pd_checksum is the low half of the third word.
                value &= 0xFFFF_0000;
            }
            let mixed = sums[lane] ^ value;
            sums[lane] = mixed.wrapping_mul(PRIME) ^ (mixed >> 17);
        }
    }
    for _ in 0..2 {
        for sum in &mut sums {
            *sum = sum.wrapping_mul(PRIME) ^ (*sum >> 17);
        }
    }
    let folded = sums.iter().fold(0, |all, sum| all ^ sum) ^ block;
    // 1 to 65535: zero never is a checksum.
    u16::try_from(folded % 65_535 + 1).unwrap_or(u16::MAX)
}

/// The position of the last change of a page (`pd_lsn`).
pub fn page_lsn(page: &[u8; PAGE_SIZE]) -> Lsn {
    let half = |at: usize| u64::from(u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]]));
    Lsn(half(0) << 32 | half(4))
}

/// What a page's checksum says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageState {
    /// It fits.
    Good,
    /// Never used (`pd_upper` is zero), or changed after the backup began and so repaired by replay: nothing to say.
    NotChecked,
    /// It does not fit.
    Bad,
}

/// The server's own rule (`basebackup.c`): only pages that are not new and not changed since `backup_start` are judged.
pub fn check_page(page: &[u8; PAGE_SIZE], block: u32, backup_start: Lsn) -> PageState {
    let upper = u16::from_le_bytes([page[14], page[15]]);
    if upper == 0 || page_lsn(page) >= backup_start {
        return PageState::NotChecked;
    }
    let stored = u16::from_le_bytes([page[8], page[9]]);
    if stored == page_checksum(page, block) { PageState::Good } else { PageState::Bad }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the processor can, the sum is the same; that it is the server's, backups of real clusters show.
    #[test]
    fn the_quick_way_and_the_plain_way_agree() {
        let mut seed = 1_u64;
        for block in [0, 1, 131_071, u32::MAX] {
            let mut page = [0; PAGE_SIZE];
            for byte in &mut page {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = (seed >> 56) as u8;
            }
            assert_eq!(page_checksum(&page, block), checksum(&page, block));
            let sum = page_checksum(&page, block);
            page[8] ^= 0xFF;
            assert_eq!(page_checksum(&page, block), sum, "the stored sum counts as zero");
            page[4_000] ^= 1;
            assert_ne!(page_checksum(&page, block), sum);
        }
    }
}
