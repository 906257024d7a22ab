/// A place outside of the platform that keeps checkpoints: whoever can change everything inside is found by what is there.
package protocol CheckpointAnchor: Sendable {
    /// Kind and place, without credentials: what metrics, answers and entries call it.
    var name: String { get }

    /// Whether it can be asked what it has. One that cannot is given each checkpoint once.
    var canBeAsked: Bool { get }

    /// The newest checkpoint it has, as it was given; nil: none, or it cannot be asked.
    func newest() async throws(AnchorError) -> [UInt8]?

    /// Keeps a checkpoint that commits to `size` entries, beside what it has.
    func keep(_ note: String, size: Int64) async throws(AnchorError)
}

/// Why a checkpoint is not kept.
package enum AnchorError: Error, Sendable, Equatable, CustomStringConvertible {
    /// It will be tried again.
    case failed(String)
    /// What is kept there and the log here cannot both be true.
    case disputed(String)

    package var description: String {
        switch self {
        case .failed(let reason): reason
        case .disputed(let reason): "disputed: \(reason)"
        }
    }

    var isDispute: Bool {
        if case .disputed = self { return true }
        return false
    }
}
