//! The built-in sample. Everything in it is made up here, with names and
//! addresses set aside for documentation (RFC 2606, RFC 5737, RFC 3849).

use watchfire_protocol::marking::Marking;

/// One input of the story.
pub(crate) struct Sample {
    /// The file name it would have.
    pub(crate) name: &'static str,
    /// Which agency publishes it, by number.
    pub(crate) author: usize,
    /// How it is marked.
    pub(crate) marking: Marking,
    /// Its content.
    pub(crate) content: &'static str,
    /// A value in it that is searched for afterwards.
    pub(crate) value: &'static str,
}

/// What the agencies publish.
pub(crate) const PUBLISHED: [Sample; 4] = [
    Sample {
        name: "stealer-panels.txt",
        author: 0,
        marking: Marking::Clear,
        content: "# Panels of an information stealer, seen by the duty desk\n\
            panel-one.example\nlogin.panel-one.example\npanel-two.example\ncdn.panel-three.example\n\
            192.0.2.17\n198.51.100.23\nhttp://198.51.100.23/gate.php\n2001:db8::17\n",
        value: "panel-one.example",
    },
    Sample {
        name: "phishing.csv",
        author: 1,
        marking: Marking::Clear,
        content: "type,value,tags\n\
            url,https://tax-refund.example/claim,phishing\n\
            domain,tax-refund.example,phishing\n\
            domain,parcel-fee.example,phishing\n\
            email,billing@parcel-fee.example,phishing\n\
            ip,203.0.113.99,phishing\n",
        value: "billing@parcel-fee.example",
    },
    Sample {
        name: "report.txt",
        author: 2,
        marking: Marking::Clear,
        content: "Prompt-assisted phishing kit, first notes\n\n\
            The lure links to hxxps[:]//invoice-helper[.]example/start and loads a script from\n\
            static[.]invoice-helper[.]example. Its operator logs in from 203.0.113[.]41.\n\
            Loader SHA256: 2f6b0a1d6f6f0bb1d6a4f0f2b5d0f9b1d7c3a8e94b5c6d7e8f90123456789abc\n",
        value: "invoice-helper.example",
    },
    Sample {
        name: "indicator.json",
        author: 0,
        marking: Marking::Clear,
        content: r#"{"type":"bundle","id":"bundle--8f1d7a52-4c1e-4d55-9d0e-6a1f0c3b2a10","objects":[
{"type":"marking-definition","spec_version":"2.1","id":"marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487","created":"2022-10-01T00:00:00.000Z","name":"TLP:CLEAR","extensions":{"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d":{"extension_type":"property-extension","tlp_2_0":"clear"}}},
{"type":"indicator","spec_version":"2.1","id":"indicator--0c2e8a64-9d3b-4f0a-8a53-1d2c3b4a5f60","created":"2026-11-01T08:00:00.000Z","modified":"2026-11-01T08:00:00.000Z","name":"Beacon of a loader","pattern":"[domain-name:value IN ('beacon.loader.example', 'backup.loader.example') OR ipv4-addr:value = '192.0.2.200']","pattern_type":"stix","valid_from":"2026-11-01T08:00:00Z","object_marking_refs":["marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"]}
]}"#,
        value: "backup.loader.example",
    },
];

/// What they try to publish and must not, because sealing does not exist yet.
pub(crate) const REFUSED: [Sample; 4] = [
    above_clear(
        "tip.green.txt",
        Marking::Green,
        "green-tip.example\n",
        "green-tip.example",
    ),
    above_clear(
        "case.amber.txt",
        Marking::Amber,
        "amber-case.example\n",
        "amber-case.example",
    ),
    above_clear(
        "case.strict.txt",
        Marking::AmberStrict,
        "strict-case.example\n",
        "strict-case.example",
    ),
    above_clear(
        "source.red.txt",
        Marking::Red,
        "red-source.example\n",
        "red-source.example",
    ),
];

const fn above_clear(
    name: &'static str,
    marking: Marking,
    content: &'static str,
    value: &'static str,
) -> Sample {
    Sample {
        name,
        author: 0,
        marking,
        content,
        value,
    }
}
