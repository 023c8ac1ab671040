//! What is in the public files, each counted once by hand and by the importer.

use watchfire_node::formats::Format;

/// File, format, and what went in, was accepted, repeated and refused.
pub(crate) const LISTS: [(&str, Format, [usize; 4]); 10] = [
    // Refused: paths without a host. Of the 16,628 different texts in the file
    // 16,605 are accepted, 22 refused, and one differs from another only by
    // case, which makes it the same value.
    (
        "iocs/maltrail/lummac2.txt",
        Format::List,
        [16_891, 16_605, 264, 22],
    ),
    // Refused: two URLs on a private address, two names of several hundred
    // characters with their URLs. Of the 11,784 different texts in the file
    // 11,777 are accepted, 6 refused, and one names the default port of its
    // scheme, which another leaves out.
    (
        "iocs/tweetfeed/month.csv",
        Format::Csv,
        [12_092, 11_777, 309, 6],
    ),
    ("iocs/2025_Lumma_Stealer.csv", Format::Csv, [33, 27, 2, 4]),
    (
        "iocs/unit42_lumma/2024-03-07-IOCs-for-Latrodectus-and-Lumma-Stealer.txt",
        Format::Text,
        [77, 23, 50, 4],
    ),
    (
        "iocs/unit42_lumma/2024-06-24-IOCs-for-ClickFix-pushing-Lumma-Stealer.txt",
        Format::Text,
        [16, 11, 2, 3],
    ),
    (
        "iocs/unit42_lumma/2024-08-28-IOCs-for-Lumman-Stealer-from-fake-human-captcha-copy-paste-script.txt",
        Format::Text,
        [36, 19, 11, 6],
    ),
    (
        "iocs/unit42_lumma/2024-09-19-IOCs-for-file-downloader-to-Lumma-Stealer.txt",
        Format::Text,
        [69, 54, 2, 13],
    ),
    (
        "iocs/unit42_lumma/2024-10-03-IOCs-for-SmartLoader-to-Lumma-Stealer.txt",
        Format::Text,
        [56, 48, 4, 4],
    ),
    (
        "iocs/unit42_lumma/2024-10-09-IOCs-for-Lumma-Stealer-from-typosquatted-domain.txt",
        Format::Text,
        [41, 35, 3, 3],
    ),
    (
        "iocs/unit42_lumma/2025-03-05-IOCs-for-Click-Fix-distribution-of-Lumma-Stealer.txt",
        Format::Text,
        [40, 32, 6, 2],
    ),
];

/// Elements of all STIX files together: the 7,025 inside bundles and arrays, and
/// the one file that is a single object.
pub(crate) const STIX_ELEMENTS: usize = 7_026;

/// Different (id, modified) among what was published: 6,538 in all files, less
/// the one that is a single object, which is refused. Counted by bundles and
/// arrays alone it is the same number.
pub(crate) const STIX_VERSIONS: usize = 6_537;

/// Every STIX file, by its name, as [`LISTS`].
pub(crate) const STIX_FILES: [(&str, [usize; 4]); 28] = [
    ("attack/ics-attack-18.1.json", [1_826, 1_826, 0, 0]),
    ("elastic/app-bound_bypass.json", [7, 7, 0, 0]),
    ("elastic/banshee.json", [4, 4, 0, 0]),
    ("elastic/blister.json", [84, 84, 0, 0]),
    ("elastic/ghostpulse.json", [9, 9, 0, 0]),
    ("elastic/guloader.json", [4, 4, 0, 0]),
    ("oasis_examples/apt1.json", [76, 76, 0, 0]),
    (
        "oasis_examples/indicator-for-c2-ip-address.json",
        [1, 1, 0, 0],
    ),
    (
        "oasis_examples/indicators-for-C2-with-COA.json",
        [8, 8, 0, 0],
    ),
    (
        "oasis_examples/interop-objectmarking-test.json",
        [1, 1, 0, 0],
    ),
    (
        "oasis_examples/malicious-email-indicator-with-attachment.json",
        [6, 6, 0, 0],
    ),
    ("oasis_examples/sco-examples-bundle.json", [82, 70, 7, 5]),
    ("tweetfeed/taxii/pages/2026-07-23.0.json", [216, 216, 0, 0]),
    ("tweetfeed/taxii/pages/2026-07-24.2.json", [251, 251, 0, 0]),
    ("tweetfeed/taxii/pages/2026-07-26.1.json", [382, 382, 0, 0]),
    ("tweetfeed/taxii/pages/2026-07-28.0.json", [389, 389, 0, 0]),
    ("tweetfeed/taxii/pages/2026-07-29.0.json", [145, 145, 0, 0]),
    ("tweetfeed/taxii/pages/2026-08-01.0.json", [56, 56, 0, 0]),
    ("tweetfeed/taxii/pages/2026-08-04.0.json", [495, 495, 0, 0]),
    ("tweetfeed/taxii/pages/2026-08-05.0.json", [203, 203, 0, 0]),
    ("tweetfeed/taxii/pages/2026-08-08.0.json", [109, 109, 0, 0]),
    ("tweetfeed/taxii/pages/2026-08-09.2.json", [1, 1, 0, 0]),
    ("tweetfeed/taxii/pages/2026-08-11.0.json", [249, 249, 0, 0]),
    ("tweetfeed/taxii/pages/2026-08-14.0.json", [414, 414, 0, 0]),
    ("tweetfeed/taxii/pages/2026-08-16.0.json", [288, 288, 0, 0]),
    ("tweetfeed/taxii/pages/2026-08-19.0.json", [132, 132, 0, 0]),
    ("tweetfeed/taxii/pages/2026-08-22.0.json", [50, 50, 0, 0]),
    ("tweetfeed/week.json", [1_538, 1_538, 0, 0]),
];
