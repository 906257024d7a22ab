import EventLoops

/// Watching the clock.
extension ServerConnection {
    /// What the read timer waits for.
    enum ReadWatch {
        case none, handshake, head, idle, body, linger
    }

    /// Sets what the client is expected to do next, and by when.
    func watch(_ watch: ReadWatch) {
        guard let timer: ActionTimer = self.readTimer else { return }
        let timeouts: HTTPServerTimeouts = self.core.configuration.timeouts
        self.readWatch = watch
        let delay: Duration
        switch watch {
        case .none:
            self.loop.disarm(timer)
            return
        case .handshake: delay = timeouts.handshake
        case .head: delay = timeouts.head
        case .idle: delay = timeouts.idle
        case .body:
            delay = timeouts.body
            self.bodyTotalAtArming = self.body.total
            self.wasPausedInPeriod = self.isPaused
        case .linger: delay = timeouts.linger
        }
        self.loop.schedule(timer, after: delay)
    }

    func readTimerFired() {
        switch self.readWatch {
        case .none: return
        case .handshake, .idle, .linger: self.teardown()
        case .head:
            // Nothing ever came: there is nobody to tell.
            if self.input.isEmpty { self.teardown() } else { self.timedOut { self.refuse(.headTimeout) } }
        case .body: self.bodyPeriodEnded()
        }
    }

    private func bodyPeriodEnded() {
        let moved: UInt64 = self.body.total - self.bodyTotalAtArming
        let isEnough: Bool = moved >= UInt64(self.core.configuration.timeouts.progressBytesMin)
        if isEnough || self.isPaused || self.wasPausedInPeriod {
            self.watch(.body)
        } else {
            self.timedOut { self.spoilBody(.bodyTimeout) }
        }
    }

    private func timedOut(_ act: () -> Void) {
        self.core.statistics.timeouts.add()
        act()
        self.advance()
    }

    /// The socket is full: from now on the client has to take something every period.
    func watchWriting() {
        guard let timer: ActionTimer = self.writeTimer, !timer.isArmed else { return }
        self.writtenTotalAtArming = self.writtenTotal
        self.loop.schedule(timer, after: self.core.configuration.timeouts.write)
    }

    func stopWatchingWriting() {
        guard let timer: ActionTimer = self.writeTimer, timer.isArmed else { return }
        self.loop.disarm(timer)
    }

    func writeTimerFired() {
        if self.output.isEmpty { return }
        if self.writtenTotal - self.writtenTotalAtArming >= self.core.configuration.timeouts.progressBytesMin {
            self.watchWriting()
        } else {
            self.timedOut { self.teardown(abruptly: true) }
        }
    }

    // MARK: Heartbeats

    func startBeating(_ heartbeat: HTTPResponse.Heartbeat, _ writer: ResponseWriter) {
        let timer: ActionTimer = ActionTimer { [weak self, weak writer] in
            guard let self: ServerConnection = self, let writer: ResponseWriter = writer else { return }
            if self.exchange?.writer === writer { self.beat(heartbeat, writer) }
        }
        self.beatTimer = timer
        self.writtenTotalAtBeat = self.writtenTotal
        self.loop.schedule(timer, after: heartbeat.interval)
    }

    func stopBeating() {
        if let timer: ActionTimer = self.beatTimer.take() { self.loop.cancel(timer) }
    }

    private func beat(_ heartbeat: HTTPResponse.Heartbeat, _ writer: ResponseWriter) {
        if self.output.isEmpty && self.writtenTotal == self.writtenTotalAtBeat { writer.beat(heartbeat.bytes) }
        self.writtenTotalAtBeat = self.writtenTotal
        if let timer: ActionTimer = self.beatTimer { self.loop.schedule(timer, after: heartbeat.interval) }
    }
}
