//! Which rows of a file may be wanted, by its footer alone. What it leaves out is certainly not wanted.

use std::ops::Range;

use parquet::file::page_index::column_index::ColumnIndexMetaData;

use crate::segment::reader::Footer;

/// Places that follow each other, made one.
pub(crate) fn joined(places: impl IntoIterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for place in places.into_iter().filter(|place| place.start < place.end) {
        match joined.last_mut() {
            Some(last) if last.end == place.start => last.end = place.end,
            _ => joined.push(place),
        }
    }
    joined
}

/// What two lists of places, both ascending, have in common.
pub(crate) fn intersection(a: &[Range<usize>], b: &[Range<usize>]) -> Vec<Range<usize>> {
    let (mut i, mut j) = (0, 0);
    let mut common = Vec::new();
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let (start, end) = (x.start.max(y.start), x.end.min(y.end));
        if start < end {
            common.push(start..end);
        }
        if x.end < y.end {
            i += 1;
        } else {
            j += 1;
        }
    }
    common
}

/// The least and the greatest value of a page, where they are known.
type Bounds = Option<(i64, i64)>;

/// A page's place, and its entry in the column's index.
type Page<'a> = (Range<usize>, Option<(&'a ColumnIndexMetaData, usize)>);

/// The pages of a leaf column; a row group that has no index for it is one page.
fn all_pages(footer: &Footer, column: usize) -> Vec<Page<'_>> {
    let indexes = footer.parquet().column_index().zip(footer.parquet().offset_index());
    let mut all = Vec::new();
    for (group, rows) in footer.row_groups().enumerate() {
        let of_group = indexes.and_then(|(columns, offsets)| {
            Some((columns.get(group)?.get(column)?, offsets.get(group)?.get(column)?.page_locations()))
        });
        let Some((index, pages)) = of_group.filter(|(index, pages)| index.num_pages() == pages.len() as u64)
        else {
            all.push((rows, None));
            continue;
        };
        let start_of = |page: usize| {
            let first =
                pages.get(page).map_or(rows.len(), |p| usize::try_from(p.first_row_index).unwrap_or(0));
            rows.start + first.min(rows.len())
        };
        all.extend((0..pages.len()).map(|page| (start_of(page)..start_of(page + 1), Some((index, page)))));
    }
    all
}

/// The pages of a leaf column that may be wanted; all of a row group that has no index for it.
fn pages(
    footer: &Footer,
    column: usize,
    may_match: impl Fn(&ColumnIndexMetaData, usize) -> bool,
) -> Vec<Range<usize>> {
    let may_be = |(_, entry): &Page<'_>| entry.is_none_or(|(index, page)| may_match(index, page));
    joined(all_pages(footer, column).into_iter().filter(may_be).map(|(rows, _)| rows))
}

/// The places where a column of 64-bit integers may have a value between the two, both included.
pub(crate) fn by_integer(footer: &Footer, column: usize, first: i64, last: i64) -> Vec<Range<usize>> {
    pages(footer, column, |index, page| match index {
        ColumnIndexMetaData::INT64(index) => match (index.min_value(page), index.max_value(page)) {
            (Some(min), Some(max)) => *min <= last && first <= *max,
            _ => true,
        },
        _ => true,
    })
}

/// The places where the sum of two columns of 64-bit integers may be between the two, both included.
pub(crate) fn by_sum(footer: &Footer, a: usize, b: usize, first: i64, last: i64) -> Vec<Range<usize>> {
    let (a, b) = (bounds(footer, a), bounds(footer, b));
    let (mut i, mut j) = (0, 0);
    let mut places = Vec::new();
    while let (Some((x, of_x)), Some((y, of_y))) = (a.get(i), b.get(j)) {
        let (start, end) = (x.start.max(y.start), x.end.min(y.end));
        let may_be = of_x.zip(*of_y).is_none_or(|((min_x, max_x), (min_y, max_y))| {
            let sums = min_x.checked_add(min_y).zip(max_x.checked_add(max_y));
            sums.is_none_or(|(min, max)| min <= last && first <= max)
        });
        if may_be {
            places.push(start..end);
        }
        if x.end < y.end {
            i += 1;
        } else {
            j += 1;
        }
    }
    joined(places)
}

/// The pages of a column of 64-bit integers, with the least and the greatest value where they are known.
fn bounds(footer: &Footer, column: usize) -> Vec<(Range<usize>, Bounds)> {
    let known = |entry: Option<(&ColumnIndexMetaData, usize)>| match entry? {
        (ColumnIndexMetaData::INT64(index), page) => {
            index.min_value(page).copied().zip(index.max_value(page).copied())
        }
        _ => None,
    };
    all_pages(footer, column).into_iter().map(|(rows, entry)| (rows, known(entry))).collect()
}

/// The places where a column of 16 bytes may have a value between the two, both included.
pub(crate) fn by_id(footer: &Footer, column: usize, first: [u8; 16], last: [u8; 16]) -> Vec<Range<usize>> {
    pages(footer, column, |index, page| match index {
        ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index) => {
            match (index.min_value(page), index.max_value(page)) {
                (Some(min), Some(max)) => min <= &last[..] && &first[..] <= max,
                _ => true,
            }
        }
        _ => true,
    })
}

/// The places where a column of 16 bytes may have one of the values, which ascend.
pub(crate) fn by_ids(footer: &Footer, column: usize, ids: &[[u8; 16]]) -> Vec<Range<usize>> {
    pages(footer, column, |index, page| match index {
        ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index) => {
            match (index.min_value(page), index.max_value(page)) {
                (Some(min), Some(max)) => {
                    let first = ids.partition_point(|id| &id[..] < min);
                    ids.get(first).is_some_and(|id| &id[..] <= max)
                }
                _ => true,
            }
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Places<'a> = &'a [Range<usize>];

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "a list of one range is what is meant")]
    fn places_are_joined_and_intersected() {
        assert_eq!(joined([0..2, 2..5, 5..5, 7..8]), [0..5, 7..8]);
        let cases: [(Places<'_>, Places<'_>, Places<'_>); 4] = [
            (&[0..10], &[2..3, 5..12], &[2..3, 5..10]),
            (&[0..2, 4..6], &[2..4], &[]),
            (&[0..5, 5..9], &[4..6], &[4..5, 5..6]),
            (&[], &[0..1], &[]),
        ];
        for (a, b, common) in cases {
            assert_eq!(intersection(a, b), common);
            assert_eq!(intersection(b, a), common);
        }
    }
}
