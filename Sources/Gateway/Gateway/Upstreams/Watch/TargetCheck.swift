import EventLoops
import GatewayConfiguration
import HTTP
import Synchronization

/// The checks of one target: one at a time, on connections of their own.
final class TargetCheck {
    /// Bytes of a body that are looked at.
    static let bodyBytesMax: Int = 64 * 1024

    let definition: ActiveHealth
    let state: TargetState
    let counts: CheckCounts
    private let address: TargetAddress
    private let tls: TargetTLS?
    private let request: [UInt8]
    private var record: CheckRecord = CheckRecord()
    private var timer: ActionTimer?
    private var isStopped: Bool = false
    private var random: LoopRandom = LoopRandom()

    init(
        _ definition: ActiveHealth, state: TargetState, url: TargetURL, address: TargetAddress, tls: TargetTLS?,
        counts: CheckCounts
    ) {
        self.definition = definition
        self.state = state
        self.address = address
        self.tls = tls
        self.counts = counts
        self.request = TargetCheck.request(definition, url)
    }

    private static func request(_ definition: ActiveHealth, _ url: TargetURL) -> [UInt8] {
        if definition.kind == .tcp { return [] }
        let isDefaultPort: Bool = url.port == (url.scheme == .http ? 80 : 443)
        let host: String = definition.host ?? (isDefaultPort ? url.host : "\(url.host):\(url.port)")
        let path: String = url.basePath + definition.path
        return Array(
            "GET \(path) HTTP/1.1\r\nHost: \(host)\r\nUser-Agent: passerelle-health\r\nConnection: close\r\n\r\n".utf8)
    }

    /// Whether it can go on as it is under another snapshot.
    func isSame(_ definition: ActiveHealth, _ tls: TargetTLS?) -> Bool {
        self.definition == definition && TargetTLS.isSame(self.tls, tls)
    }

    /// Checks now, and again after each interval.
    func start(on loop: EventLoop, table: HTTPFieldTable) {
        if self.isStopped { return }
        guard let address: SocketAddress = self.address.next(now: loop.now)?.address else {
            self.judge(false, on: loop, table: table)
            return
        }
        let request: SideExchange.Request = SideExchange.Request(
            address: address, tls: self.tls, bytes: self.request, timeout: self.definition.timeout.nanoseconds,
            bodyBytesMax: self.definition.body == nil ? 0 : TargetCheck.bodyBytesMax)
        SideExchange.start(request, on: loop, table: table) { (outcome: SideExchange.Outcome) in
            self.judge(TargetCheck.isGood(outcome, self.definition), on: loop, table: table)
        }
    }

    static func isGood(_ outcome: SideExchange.Outcome, _ definition: ActiveHealth) -> Bool {
        switch outcome {
        case .connected: return true
        case .failed: return false
        case .answered(let status, let body):
            guard definition.statuses.contains(status) else { return false }
            guard let wanted: String = definition.body else { return true }
            return TargetCheck.holds(body, Array(wanted.utf8))
        }
    }

    private static func holds(_ body: [UInt8], _ wanted: [UInt8]) -> Bool {
        guard let first: UInt8 = wanted.first, body.count >= wanted.count else { return wanted.isEmpty }
        for start in 0...(body.count - wanted.count) where body[start] == first {
            if body[start..<(start + wanted.count)].elementsEqual(wanted) { return true }
        }
        return false
    }

    private func judge(_ isGood: Bool, on loop: EventLoop, table: HTTPFieldTable) {
        if self.isStopped { return }
        if isGood {
            self.counts.good.wrappingAdd(1, ordering: .relaxed)
        } else {
            self.counts.bad.wrappingAdd(1, ordering: .relaxed)
        }
        let isChange: Bool = self.record.add(
            isGood, healthyAfter: self.definition.healthyAfter, unhealthyAfter: self.definition.unhealthyAfter)
        if isChange { self.state.set(.checkedDown, !self.record.isUp, now: loop.now) }
        let timer: ActionTimer = ActionTimer { self.start(on: loop, table: table) }
        self.timer = timer
        loop.schedule(timer, at: loop.now &+ self.pause())
    }

    /// The interval, a little earlier or later: checks of many gateways do not march in step.
    private func pause() -> UInt64 {
        let interval: UInt64 = self.definition.interval.nanoseconds
        let spread: UInt64 = interval / 100 * UInt64(self.definition.jitter)
        if spread == 0 { return interval }
        return interval - spread / 2 + UInt64.random(in: 0...spread, using: &self.random)
    }

    /// Ends it. What it found does not count any more.
    func stop(on loop: EventLoop) {
        self.isStopped = true
        if let timer: ActionTimer = self.timer { loop.cancel(timer) }
        self.timer = nil
        self.state.set(.checkedDown, false, now: loop.now)
    }
}

/// Checks of one target by their results. Read by metrics.
final class CheckCounts: Sendable {
    let good: Atomic<UInt64> = Atomic(0)
    let bad: Atomic<UInt64> = Atomic(0)
}
