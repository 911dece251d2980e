//! A map of the world of one square a country, drawn on the server: squares are where one looks for the country, and all
//! are of one size, so that small ones are seen too.

use super::lists::country;
use domain::{
    format,
    view::{AnalyticsGeography, CountryRow},
};
use leptos::prelude::*;
use std::collections::HashMap;

/// From one square to the next, and its side.
const STEP: i32 = 20;
const SIDE: i32 = 18;
/// Lower bounds of the classes of shares, in percent.
const CLASSES: [f64; 5] = [0.0, 1.0, 5.0, 15.0, 30.0];

/// Which class of shading: 0 is no events.
fn class(share_percent: f64, events: i64) -> usize {
    if events == 0 { 0 } else { CLASSES.iter().filter(|least| share_percent >= **least).count() }
}

/// Name of a country that has a square.
pub fn name(code: &str) -> Option<&'static str> {
    PLACES.binary_search_by(|place| place.0.cmp(code)).ok().and_then(|i| PLACES.get(i)).map(|place| place.1)
}

fn square(place: &(&'static str, &'static str, i32, i32), row: Option<&CountryRow>) -> AnyView {
    let (code, name, column, line) = *place;
    let (events, share) = row.map_or((0, 0.0), |row| (row.events, row.share_percent));
    let title = if events == 0 {
        format!("{name}: no events")
    } else {
        format!("{name}: {}, {share:.1} %", format::counted(events, "event", "events"))
    };
    let (x, y) = (column * STEP, line * STEP);
    let (middle, base) = ((x + SIDE / 2).to_string(), (y + SIDE / 2 + 3).to_string());
    view! {
        <g class=format!("m{}", class(share, events))>
            <title>{title}</title>
            <rect x=x.to_string() y=y.to_string() width=SIDE.to_string() height=SIDE.to_string() rx="3"></rect>
            <text x=middle y=base>{code}</text>
        </g>
    }
    .into_any()
}

/// The map with its key; what has no square is told below it.
pub fn map(geography: &AnalyticsGeography) -> impl IntoView + use<> {
    let rows = geography.countries.iter().map(|row| (row.country.as_str(), row)).collect::<HashMap<_, _>>();
    let squares = PLACES.iter().map(|place| square(place, rows.get(place.0).copied())).collect::<Vec<_>>();
    let (columns, lines) = PLACES.iter().fold((0, 0), |most, place| (most.0.max(place.2), most.1.max(place.3)));
    let frame = format!("0 0 {} {}", columns * STEP + SIDE, lines * STEP + SIDE);
    let elsewhere = geography
        .countries
        .iter()
        .filter(|row| row.events > 0 && name(&row.country).is_none())
        .map(|row| format!("{} {}", country(&row.country), format::count(row.events as f64)))
        .collect::<Vec<_>>();
    let elsewhere = (!elsewhere.is_empty())
        .then(|| view! { <p class="rest">{format!("Not on the map: {}", elsewhere.join(", "))}</p> });
    let key = [("below 1 %", "m1"), ("1 %", "m2"), ("5 %", "m3"), ("15 %", "m4"), ("30 % and more", "m5")]
        .map(|(label, class)| view! { <span class=format!("square {class}")></span><span>{label}</span> })
        .into_iter()
        .collect_view();
    view! {
        <svg class="tile-map" viewBox=frame role="img" aria-label="Share of events by country; the list has the same in numbers">{squares}</svg>
        <p class="map-key" aria-hidden="true">{key}</p>
        {elsewhere}
    }
}

/// ISO code, name, column, line; in the order of codes.
static PLACES: [(&str, &str, i32, i32); 208] = [
    ("AD", "Andorra", 11, 6),
    ("AE", "United Arab Emirates", 20, 12),
    ("AF", "Afghanistan", 21, 9),
    ("AG", "Antigua and Barbuda", 7, 6),
    ("AL", "Albania", 14, 8),
    ("AM", "Armenia", 18, 8),
    ("AO", "Angola", 14, 15),
    ("AR", "Argentina", 4, 12),
    ("AT", "Austria", 13, 5),
    ("AU", "Australia", 26, 16),
    ("AW", "Aruba", 4, 7),
    ("AZ", "Azerbaijan", 19, 7),
    ("BA", "Bosnia and Herzegovina", 13, 7),
    ("BB", "Barbados", 7, 8),
    ("BD", "Bangladesh", 23, 11),
    ("BE", "Belgium", 11, 4),
    ("BF", "Burkina Faso", 12, 12),
    ("BG", "Bulgaria", 16, 7),
    ("BH", "Bahrain", 19, 11),
    ("BI", "Burundi", 16, 15),
    ("BJ", "Benin", 13, 13),
    ("BM", "Bermuda", 5, 3),
    ("BN", "Brunei", 26, 13),
    ("BO", "Bolivia", 4, 11),
    ("BR", "Brazil", 5, 10),
    ("BS", "Bahamas", 4, 4),
    ("BT", "Bhutan", 23, 10),
    ("BW", "Botswana", 15, 16),
    ("BY", "Belarus", 16, 4),
    ("BZ", "Belize", 2, 5),
    ("CA", "Canada", 2, 2),
    ("CD", "Democratic Republic of the Congo", 15, 14),
    ("CF", "Central African Republic", 14, 12),
    ("CG", "Congo", 14, 14),
    ("CH", "Switzerland", 12, 6),
    ("CI", "Côte d’Ivoire", 10, 13),
    ("CL", "Chile", 3, 12),
    ("CM", "Cameroon", 14, 13),
    ("CN", "China", 22, 7),
    ("CO", "Colombia", 3, 9),
    ("CR", "Costa Rica", 2, 8),
    ("CU", "Cuba", 4, 5),
    ("CV", "Cabo Verde", 8, 12),
    ("CW", "Curaçao", 5, 7),
    ("CY", "Cyprus", 17, 9),
    ("CZ", "Czechia", 13, 4),
    ("DE", "Germany", 13, 3),
    ("DJ", "Djibouti", 17, 12),
    ("DK", "Denmark", 13, 2),
    ("DM", "Dominica", 7, 7),
    ("DO", "Dominican Republic", 6, 5),
    ("DZ", "Algeria", 12, 10),
    ("EC", "Ecuador", 2, 10),
    ("EE", "Estonia", 15, 2),
    ("EG", "Egypt", 14, 10),
    ("EH", "Western Sahara", 10, 11),
    ("ER", "Eritrea", 16, 11),
    ("ES", "Spain", 10, 6),
    ("ET", "Ethiopia", 16, 12),
    ("FI", "Finland", 15, 1),
    ("FJ", "Fiji", 29, 16),
    ("FK", "Falkland Islands", 4, 13),
    ("FM", "Micronesia", 29, 13),
    ("FR", "France", 11, 5),
    ("GA", "Gabon", 13, 15),
    ("GB", "United Kingdom", 10, 3),
    ("GD", "Grenada", 5, 8),
    ("GE", "Georgia", 18, 7),
    ("GF", "French Guiana", 7, 9),
    ("GH", "Ghana", 11, 13),
    ("GL", "Greenland", 6, 0),
    ("GM", "Gambia", 9, 12),
    ("GN", "Guinea", 9, 13),
    ("GQ", "Equatorial Guinea", 13, 14),
    ("GR", "Greece", 15, 9),
    ("GT", "Guatemala", 1, 5),
    ("GW", "Guinea-Bissau", 8, 13),
    ("GY", "Guyana", 5, 9),
    ("HK", "Hong Kong", 23, 9),
    ("HN", "Honduras", 2, 6),
    ("HR", "Croatia", 14, 6),
    ("HT", "Haiti", 5, 5),
    ("HU", "Hungary", 14, 5),
    ("ID", "Indonesia", 25, 14),
    ("IE", "Ireland", 9, 3),
    ("IL", "Israel", 16, 10),
    ("IN", "India", 22, 11),
    ("IQ", "Iraq", 19, 9),
    ("IR", "Iran", 20, 9),
    ("IS", "Iceland", 9, 1),
    ("IT", "Italy", 12, 7),
    ("JM", "Jamaica", 4, 6),
    ("JO", "Jordan", 18, 10),
    ("JP", "Japan", 26, 7),
    ("KE", "Kenya", 16, 13),
    ("KG", "Kyrgyzstan", 21, 7),
    ("KH", "Cambodia", 25, 12),
    ("KI", "Kiribati", 30, 14),
    ("KM", "Comoros", 18, 16),
    ("KN", "Saint Kitts and Nevis", 6, 6),
    ("KP", "North Korea", 24, 6),
    ("KR", "South Korea", 24, 7),
    ("KW", "Kuwait", 19, 10),
    ("KZ", "Kazakhstan", 20, 6),
    ("LA", "Laos", 25, 11),
    ("LB", "Lebanon", 17, 10),
    ("LC", "Saint Lucia", 6, 7),
    ("LI", "Liechtenstein", 12, 5),
    ("LK", "Sri Lanka", 22, 13),
    ("LR", "Liberia", 10, 14),
    ("LS", "Lesotho", 15, 18),
    ("LT", "Lithuania", 15, 4),
    ("LU", "Luxembourg", 12, 4),
    ("LV", "Latvia", 15, 3),
    ("LY", "Libya", 13, 10),
    ("MA", "Morocco", 11, 10),
    ("MC", "Monaco", 11, 7),
    ("MD", "Moldova", 16, 6),
    ("ME", "Montenegro", 14, 7),
    ("MG", "Madagascar", 18, 17),
    ("MH", "Marshall Islands", 30, 13),
    ("MK", "North Macedonia", 15, 8),
    ("ML", "Mali", 12, 11),
    ("MM", "Myanmar", 24, 11),
    ("MN", "Mongolia", 22, 6),
    ("MO", "Macao", 22, 9),
    ("MR", "Mauritania", 11, 11),
    ("MT", "Malta", 11, 8),
    ("MU", "Mauritius", 20, 17),
    ("MV", "Maldives", 21, 13),
    ("MW", "Malawi", 17, 15),
    ("MX", "Mexico", 1, 4),
    ("MY", "Malaysia", 24, 13),
    ("MZ", "Mozambique", 17, 16),
    ("NA", "Namibia", 14, 16),
    ("NC", "New Caledonia", 27, 16),
    ("NE", "Niger", 13, 11),
    ("NG", "Nigeria", 13, 12),
    ("NI", "Nicaragua", 2, 7),
    ("NL", "Netherlands", 12, 3),
    ("NO", "Norway", 13, 1),
    ("NP", "Nepal", 22, 10),
    ("NR", "Nauru", 29, 14),
    ("NZ", "New Zealand", 28, 17),
    ("OM", "Oman", 19, 12),
    ("PA", "Panama", 3, 8),
    ("PE", "Peru", 3, 10),
    ("PG", "Papua New Guinea", 27, 14),
    ("PH", "Philippines", 27, 12),
    ("PK", "Pakistan", 21, 10),
    ("PL", "Poland", 14, 3),
    ("PR", "Puerto Rico", 7, 5),
    ("PS", "Palestine", 17, 11),
    ("PT", "Portugal", 9, 6),
    ("PW", "Palau", 28, 13),
    ("PY", "Paraguay", 5, 11),
    ("QA", "Qatar", 20, 11),
    ("RE", "Réunion", 19, 17),
    ("RO", "Romania", 15, 5),
    ("RS", "Serbia", 15, 6),
    ("RU", "Russia", 17, 3),
    ("RW", "Rwanda", 16, 14),
    ("SA", "Saudi Arabia", 18, 11),
    ("SB", "Solomon Islands", 28, 15),
    ("SC", "Seychelles", 18, 15),
    ("SD", "Sudan", 15, 11),
    ("SE", "Sweden", 14, 1),
    ("SG", "Singapore", 24, 14),
    ("SI", "Slovenia", 13, 6),
    ("SK", "Slovakia", 14, 4),
    ("SL", "Sierra Leone", 9, 14),
    ("SM", "San Marino", 12, 8),
    ("SN", "Senegal", 10, 12),
    ("SO", "Somalia", 17, 13),
    ("SR", "Suriname", 6, 9),
    ("SS", "South Sudan", 15, 12),
    ("ST", "São Tomé and Príncipe", 12, 14),
    ("SV", "El Salvador", 1, 6),
    ("SY", "Syria", 18, 9),
    ("SZ", "Eswatini", 16, 17),
    ("TD", "Chad", 14, 11),
    ("TG", "Togo", 12, 13),
    ("TH", "Thailand", 24, 12),
    ("TJ", "Tajikistan", 21, 8),
    ("TL", "Timor-Leste", 25, 15),
    ("TM", "Turkmenistan", 20, 8),
    ("TN", "Tunisia", 12, 9),
    ("TO", "Tonga", 30, 16),
    ("TR", "Türkiye", 17, 8),
    ("TT", "Trinidad and Tobago", 4, 8),
    ("TV", "Tuvalu", 29, 15),
    ("TW", "Taiwan", 24, 9),
    ("TZ", "Tanzania", 17, 14),
    ("UA", "Ukraine", 16, 5),
    ("UG", "Uganda", 15, 13),
    ("US", "United States", 2, 3),
    ("UY", "Uruguay", 5, 12),
    ("UZ", "Uzbekistan", 20, 7),
    ("VC", "Saint Vincent", 6, 8),
    ("VE", "Venezuela", 4, 9),
    ("VN", "Vietnam", 26, 11),
    ("VU", "Vanuatu", 28, 16),
    ("WS", "Samoa", 30, 15),
    ("XK", "Kosovo", 15, 7),
    ("YE", "Yemen", 18, 12),
    ("ZA", "South Africa", 15, 17),
    ("ZM", "Zambia", 15, 15),
    ("ZW", "Zimbabwe", 16, 16),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_country_has_one_square_and_each_square_one_country() {
        assert!(PLACES.windows(2).all(|pair| pair[0].0 < pair[1].0), "a name is searched for by halves");
        let squares = PLACES.iter().map(|place| (place.2, place.3)).collect::<HashSet<_>>();
        assert_eq!(squares.len(), PLACES.len());
        assert!(PLACES.iter().all(|place| place.0.len() == 2 && place.0.bytes().all(|b| b.is_ascii_uppercase())));
        assert_eq!((name("DE"), name("ZZ"), name("")), (Some("Germany"), None, None));
    }

    #[test]
    fn shares_are_shaded_in_five_classes() {
        let classes = [0.2, 1.0, 4.9, 5.0, 29.0, 30.0, 100.0].map(|share| class(share, 7));
        assert_eq!(classes, [1, 2, 2, 3, 4, 5, 5]);
        assert_eq!(class(0.0, 0), 0);
        // A share that is too small to be shown is still one.
        assert_eq!(class(0.0, 1), 1);
    }

    #[test]
    fn a_map_has_what_is_known_and_tells_the_rest() {
        let row = |code: &str, events: i64, share_percent: f64| CountryRow {
            country: code.to_owned(),
            events,
            users: 1,
            share_percent,
        };
        let geography = AnalyticsGeography {
            from: domain::Timestamp(0),
            to: domain::Timestamp(1),
            countries: vec![row("DE", 1_200, 60.0), row("US", 700, 35.0), row("", 100, 5.0)],
        };
        let html = map(&geography).to_html();
        assert!(
            html.contains("Germany: 1,200 events, 60.0 %") && html.contains("Not on the map: not known 100"),
            "{html}"
        );
        assert!(html.contains("France: no events") && !html.contains("style="));
    }
}
