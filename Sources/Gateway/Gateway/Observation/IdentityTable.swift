import Synchronization

/// A number that stands for a route, application or subscription in records; 0 stands for none.
///
/// Numbers are given once and keep their meaning for the life of the process, whatever snapshots come and go.
package struct IdentityNumber: Sendable, Hashable, BitwiseCopyable {
    package let value: UInt32

    package init(_ value: UInt32) {
        self.value = value
    }

    package static let none: IdentityNumber = IdentityNumber(0)
}

/// What a number stands for.
package struct Identity: Sendable, Hashable {
    package enum Kind: UInt8, Sendable, Hashable {
        case none
        /// `api` and `detail` (the route's id).
        case route
        /// `detail` is the application's id.
        case application
        /// `api` and `detail` (the subscription's id).
        case subscription
        /// `api` and `detail` (the URL of one of its servers).
        case target
    }

    package let kind: Kind
    package let tenant: String
    /// Id of the API; empty for an application.
    package let api: String
    package let detail: String

    package init(kind: Kind, tenant: String, api: String, detail: String) {
        self.kind = kind
        self.tenant = tenant
        self.api = api
        self.detail = detail
    }

    package static let none: Identity = Identity(kind: .none, tenant: "", api: "", detail: "")
}

/// Gives out identity numbers and remembers what they stand for.
///
/// Asked while a snapshot is compiled (any thread) and read by the collector; never by a request.
package final class IdentityTable: Sendable {
    private struct Known {
        var numbers: [Identity: UInt32] = [:]
        var identities: [Identity] = [.none]
    }

    private let known: Mutex<Known> = Mutex(Known())

    /// Numbers given out at most; later identities share number 0, so their traffic is counted as "none".
    package static let numbersMax: Int = 2_000_000

    /// The number of an identity, given now if it has none.
    package func number(_ identity: Identity) -> IdentityNumber {
        self.known.withLock { known in
            if let number: UInt32 = known.numbers[identity] { return IdentityNumber(number) }
            guard known.identities.count < Self.numbersMax else { return .none }
            let number: UInt32 = UInt32(known.identities.count)
            known.identities.append(identity)
            known.numbers[identity] = number
            return IdentityNumber(number)
        }
    }

    /// What a number stands for.
    package func identity(_ number: IdentityNumber) -> Identity {
        self.known.withLock { known in
            let index: Int = Int(number.value)
            return index < known.identities.count ? known.identities[index] : .none
        }
    }

    /// Adds what was given out since `identities` was last brought up to date: for a reader's own copy.
    package func extend(_ identities: inout [Identity]) {
        self.known.withLock { known in
            guard identities.count < known.identities.count else { return }
            identities.append(contentsOf: known.identities[identities.count...])
        }
    }

    package var count: Int { self.known.withLock { $0.identities.count } }
}
