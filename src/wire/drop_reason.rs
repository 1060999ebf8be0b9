//! Why a frame got no answer: one reason for each check, in the order in which they are made.

use std::fmt;

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident => $name:literal,)+) => {
        /// The one reason for which a frame got no answer.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of the checks.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in metrics, events and JSON: `snake_case`, never changed once released.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What it means, in a sentence or two.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+
                }
            }
        }
    };
}

drop_reasons! {
    // The frame.
    /// The frame is shorter than an Ethernet header.
    FrameTruncated => "frame_truncated",
    /// The frame is longer than the receive buffer, so its end is unknown.
    FrameTooLong => "frame_too_long",
    /// The ethertype is not IPv6. The tag of another VLAN is also an ethertype.
    NotIpv6 => "not_ipv6",
    /// The frame is addressed to another MAC.
    OtherStation => "other_station",
    /// The frame comes from this interface itself. A switch may have sent it back.
    OwnFrame => "own_frame",
    /// The source MAC of the frame is a group or zero, so no answer could reach the sender.
    SourceStation => "source_station",

    // The IPv6 header.
    /// The packet is shorter than an IPv6 header.
    PacketTruncated => "packet_truncated",
    /// The IP version is not 6.
    IpVersion => "ip_version",
    /// The payload length is 0 or reaches beyond the frame.
    PayloadLength => "payload_length",
    /// RFC 6980 §5: the packet has a fragment header, even if it is a whole packet.
    Fragmented => "fragmented",
    /// There is an extension header before ICMPv6.
    ExtensionHeader => "extension_header",
    /// The next header is not ICMPv6.
    NotIcmpv6 => "not_icmpv6",
    /// RFC 4861 §7.1.1: the hop limit is not 255, so a router could have forwarded it.
    HopLimit => "hop_limit",

    // The ICMPv6 message.
    /// RFC 4861 §7.1.1: the ICMPv6 length is under 24.
    MessageTruncated => "message_truncated",
    /// RFC 4861 §7.1.1: the ICMPv6 checksum is wrong, and it is not one that a network card still has to compute.
    Checksum => "checksum",
    /// RFC 4861 §7.1.1: the ICMPv6 code is not 0.
    Code => "code",
    /// The ICMPv6 type is not one that this interface listens for.
    MessageType => "message_type",
    /// RFC 4861 §7.1.1: an option has length 0.
    OptionLengthZero => "option_length_zero",
    /// An option reaches beyond the message.
    OptionTruncated => "option_truncated",

    // Its addresses.
    /// RFC 4861 §7.1.1: the target is a multicast address.
    TargetMulticast => "target_multicast",
    /// The target is `::`, which is not an address of a host.
    TargetUnspecified => "target_unspecified",
    /// The target is `::1`.
    TargetLoopback => "target_loopback",
    /// The target is an IPv4-mapped address.
    TargetV4Mapped => "target_v4_mapped",
    /// RFC 4861 §7.1.2: a solicited advertisement is addressed to a group.
    SolicitedToGroup => "solicited_to_group",
    /// The source is multicast, loopback or IPv4-mapped.
    SourceNotUnicast => "source_not_unicast",
    /// RFC 3810 §6.2: a query for multicast listeners does not come from a link-local address.
    SourceNotLinkLocal => "source_not_link_local",
    /// The asker asks for its own address.
    SourceIsTarget => "source_is_target",
    /// RFC 4861 §7.1.1: the source is `::` and the destination is not a solicited-node address.
    DadDestination => "dad_destination",
    /// RFC 4861 §7.1.1: the source is `::` and there is a source link-layer address option.
    DadLinkLayerOption => "dad_link_layer_option",

    // The decision.
    /// The frame arrived on a downstream, where lone64 does not answer. Or the target is on the asker's own link and
    /// answers for itself.
    NotUpstream => "not_upstream",
    /// The target is link-local, and ranges have no link-local addresses. A guest that asks for its gateway like this
    /// shows that it is live.
    TargetLinkLocal => "target_link_local",
    /// The target is in no range of this upstream.
    NoRange => "no_range",
    /// The target is in `exclude`, or it is the provider's router.
    Excluded => "excluded",
    /// The range has `answer = "never"`.
    NeverAnswered => "never_answered",
    /// The range has `standby = true`, and nobody has claimed the target.
    Standby => "standby",
    /// The target is an address of the upstream itself: the kernel answers.
    UpstreamAddress => "upstream_address",
    /// The kernel routes the target back out of the upstream. The host that has it answers for itself.
    RoutedBack => "routed_back",
    /// The upstream has no address that the answer could come from.
    NoSource => "no_source",
    /// Another host on the upstream's link has the target.
    Conflict => "conflict",
    /// No interface of the range exists and is up.
    NoDownstream => "no_downstream",
    /// The target did not reply to probes a moment ago.
    Absent => "absent",
    /// The limit of targets that are probed at the same time is reached (`pending` in `[limits]`).
    PendingFull => "pending_full",
    /// The limit of known targets is reached (`targets` in `[limits]`), and all of them are live.
    TargetsFull => "targets_full",
    /// The limit of askers that wait for one target is reached.
    AskersFull => "askers_full",
    /// The limit of probes in a second is reached (`probes-per-second` in `[limits]`).
    ProbeLimit => "probe_limit",
    /// The interface did not accept the answer.
    NotSent => "not_sent",
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_own() {
        let mut names: Vec<_> = DropReason::ALL.iter().map(|reason| reason.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::COUNT);
    }

    #[test]
    fn it_prints_its_name() {
        assert_eq!(DropReason::HopLimit.to_string(), "hop_limit");
    }

    #[test]
    fn the_position_in_all_is_the_value() {
        for (position, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, position);
        }
    }
}
