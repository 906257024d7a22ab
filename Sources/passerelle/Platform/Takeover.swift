import EventLoops
import JSON
import Processes
import Telemetry

/// The start of a process that takes over from the one that runs already, or finds that none does.
///
/// From `begin` to `end` the predecessor serves on; when this process fails in between, it goes on doing so.
final class Takeover: Sendable {
    /// What this process listens with: what it took over, as far as it asks for it.
    let listeners: Listeners
    private let predecessor: Predecessor?
    private let logger: Logger

    private init(_ listeners: Listeners, _ predecessor: Predecessor?, _ logger: Logger) {
        self.listeners = listeners
        self.predecessor = predecessor
        self.logger = logger
    }

    /// A start without a predecessor.
    static func none(_ logger: Logger) -> Takeover { Takeover(Listeners(), nil, logger) }

    /// Takes the sockets of the process that listens at the path. Blocks.
    static func begin(_ path: String, _ logger: Logger) throws(CommandError) -> Takeover {
        do throws(HandoverFailure) {
            guard let predecessor: Predecessor = try Predecessor.reach(path) else {
                logger.info("nobody to take over from: starting", ["socket": .string(path)])
                return Takeover(Listeners(), nil, logger)
            }
            logger.info("taking over", ["process": .int(Int64(predecessor.process))])
            return Takeover(Listeners(inherited: try predecessor.sockets()), predecessor, logger)
        } catch {
            throw .failed("Nothing was taken over: \(error)")
        }
    }

    /// Everything is ready but for what only one process may hold; that is free when this returns. Blocks.
    func waitForRelease() throws(CommandError) {
        do throws(HandoverFailure) {
            try self.predecessor?.waitForRelease()
        } catch {
            throw .failed("Nothing was taken over: \(error)")
        }
    }

    /// This process accepts connections. The predecessor ends, and sockets that nobody asked for are closed.
    func end() throws(CommandError) {
        self.listeners.closeUnclaimed()
        guard let predecessor: Predecessor = self.predecessor else { return }
        do throws(HandoverFailure) {
            try predecessor.serving()
            self.logger.info("took over", ["process": .int(Int64(predecessor.process))])
        } catch {
            // It is gone already, so this process serves alone.
            self.logger.warning("the predecessor did not hear that it is replaced", ["error": .string("\(error)")])
        }
    }

    /// How long connections of a process that was taken over have to end: streams may last.
    static let drainDeadline: Duration = .seconds(600)
    /// How long its connections without a request stay open for one more.
    static let idleGrace: Duration = .seconds(15)
    /// The same for connections of its control plane, which nobody answers until they have ended: time for what was on its way.
    static let controlPlaneGrace: Duration = .seconds(1)

    /// Makes the process one that can be taken over; nil, and a line in the log, where the path cannot be listened at.
    static func offer(_ path: String, _ logger: Logger, _ duties: HandoverDuties) -> HandoverPoint? {
        do throws(HandoverFailure) {
            return try HandoverPoint(path: path, logger: logger, duties: duties)
        } catch {
            logger.warning("this process cannot be upgraded while it runs", ["error": .string("\(error)")])
            return nil
        }
    }
}
