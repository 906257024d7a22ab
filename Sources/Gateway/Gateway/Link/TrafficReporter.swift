import JSON
import Synchronization
package import Telemetry
package import Time

/// Sums the records of finished requests and hands the sums to the control plane, about once a second.
///
/// Nothing waits for it: what does not fit is dropped and counted. A batch that was not taken is sent again under its number,
/// while further sums gather.
package final class TrafficReporter: RecordSink {
    /// Different lines kept at most: tenants × APIs × routes × applications × status classes of a minute.
    package static let linesMax: Int = 20_000
    /// Lines of one batch.
    package static let batchLinesMax: Int = 1_000
    package static let interval: Duration = .seconds(1)

    private struct State: Sendable {
        var sums: [TrafficBatch.Line: TrafficBatch.Sums] = [:]
        var dropped: UInt64 = 0
    }

    private let link: any GatewayLink
    private let clock: any WallClock
    private let logger: Logger
    private let state: Mutex<State> = Mutex(State())
    private let gathering: Mutex<TrafficSums> = Mutex(TrafficSums())

    package init(link: any GatewayLink, clock: any WallClock, logger: Logger) {
        self.link = link
        self.clock = clock
        self.logger = logger
    }

    /// Requests whose sums were dropped because too many different lines waited.
    package var dropped: UInt64 { self.state.withLock { $0.dropped } }

    /// Called by the collector's thread.
    package func receive(_ batch: RecordBatch) {
        // By numbers first: names are long to hash, and a batch has few lines.
        self.gathering.withLock { gathering in
            gathering.add(batch.records)
            self.state.withLock { state in
                gathering.takeEach { Self.add($1, of: $0, batch, to: &state) }
            }
        }
    }

    private static func add(
        _ sums: TrafficBatch.Sums, of key: TrafficSums.Key, _ batch: RecordBatch, to state: inout State
    ) {
        let route: Identity = batch.identity(IdentityNumber(key.route))
        guard !route.tenant.isEmpty else { return }
        let line: TrafficBatch.Line = TrafficBatch.Line(
            tenant: route.tenant, api: route.api, route: route.detail,
            application: batch.identity(IdentityNumber(key.application)).detail, minute: key.minute,
            statusClass: Int(key.statusClass))
        guard state.sums[line] != nil || state.sums.count < Self.linesMax else {
            state.dropped += UInt64(sums.requests)
            return
        }
        state.sums[line, default: TrafficBatch.Sums()].add(sums)
    }

    /// Reports until cancelled, and once more then.
    package func run() async {
        // Numbers of one start never meet those of an earlier one: they begin at the time in milliseconds.
        var sequence: Int64 = self.clock.now().milliseconds
        var unsent: TrafficBatch?
        while (try? await self.clock.sleep(for: Self.interval)) != nil {
            await self.flush(&sequence, &unsent)
        }
        let (last, left): (Int64, TrafficBatch?) = (sequence, unsent)
        await LastWord.say {
            var (sequence, unsent): (Int64, TrafficBatch?) = (last, left)
            await self.flush(&sequence, &unsent)
        }
    }

    private func flush(_ sequence: inout Int64, _ unsent: inout TrafficBatch?) async {
        while let batch: TrafficBatch = unsent ?? self.next(sequence + 1) {
            unsent = batch
            do {
                try await self.link.report(batch)
            } catch {
                self.logger.log(.debug, "traffic could not be reported", ["error": .string("\(error)")])
                return
            }
            sequence = batch.sequence
            unsent = nil
        }
    }

    private func next(_ sequence: Int64) -> TrafficBatch? {
        self.state.withLock { state in
            if state.sums.isEmpty { return nil }
            var lines: [(line: TrafficBatch.Line, sums: TrafficBatch.Sums)] = []
            for (line, sums) in state.sums.prefix(Self.batchLinesMax) { lines.append((line, sums)) }
            for entry in lines { state.sums[entry.line] = nil }
            return TrafficBatch(sequence: sequence, lines: lines)
        }
    }
}
