import Bytes
import Synchronization
import Time

/// Slows down who guesses passwords: failed sign-ins are counted by account and by address, in leaky buckets.
///
/// A bucket takes so many failures at once and forgets one every `forgetsEvery`. Attempts sent together pass together, but no more
/// than wait for `PasswordChecker`, and all that fail count. Names count as they were sent, whether there is such a user or not: who
/// is slowed down learns nothing from it. Memory is fixed: buckets are found by a hash with a seed of the process, so nobody can
/// choose whose bucket to share. Each process counts for itself.
///
/// Any thread may ask. Cost: one short critical section.
final class SignInThrottle: Sendable {
    static let accountFailuresMax: Int64 = 10
    static let accountForgetsEvery: Duration = .seconds(60)
    /// Many people may come from one address.
    static let addressFailuresMax: Int64 = 100
    static let addressForgetsEvery: Duration = .seconds(6)
    static let bucketCount: Int = 1 << 14

    private struct Rule {
        let failuresMax: Int64
        /// Nanoseconds.
        let forgetsEvery: Int64
    }

    private static let accounts: Rule = Rule(
        failuresMax: accountFailuresMax, forgetsEvery: accountForgetsEvery.nanosecondsClamped)
    private static let addresses: Rule = Rule(
        failuresMax: addressFailuresMax, forgetsEvery: addressForgetsEvery.nanosecondsClamped)

    /// A bucket is the moment at which it will be empty, in monotonic nanoseconds.
    private struct Buckets: Sendable {
        var accounts: [Int64] = [Int64](repeating: 0, count: SignInThrottle.bucketCount)
        var addresses: [Int64] = [Int64](repeating: 0, count: SignInThrottle.bucketCount)
    }

    private let clock: any WallClock
    private let buckets: Mutex<Buckets> = Mutex(Buckets())

    init(clock: any WallClock) { self.clock = clock }

    /// Whether an attempt may be made. - Returns: nil when it may, otherwise after how many seconds to come back.
    func wait(account: String, address: String) -> Int? {
        let now: Int64 = Int64(clamping: self.clock.monotonic())
        let (first, second): (Int, Int) = (Self.bucket(account), Self.bucket(Self.network(of: address)))
        let wait: Int64 = self.buckets.withLock { buckets in
            max(
                Self.wait(buckets.accounts[first], Self.accounts, now),
                Self.wait(buckets.addresses[second], Self.addresses, now))
        }
        return wait == 0 ? nil : Int((wait + 999_999_999) / 1_000_000_000)
    }

    /// Counts an attempt that was wrong.
    func fail(account: String, address: String) {
        let now: Int64 = Int64(clamping: self.clock.monotonic())
        let (first, second): (Int, Int) = (Self.bucket(account), Self.bucket(Self.network(of: address)))
        self.buckets.withLock { buckets in
            buckets.accounts[first] = max(buckets.accounts[first], now) + Self.accounts.forgetsEvery
            buckets.addresses[second] = max(buckets.addresses[second], now) + Self.addresses.forgetsEvery
        }
    }

    private static func wait(_ emptyAt: Int64, _ rule: Rule, _ now: Int64) -> Int64 {
        max(0, emptyAt - now - (rule.failuresMax - 1) * rule.forgetsEvery)
    }

    private static func bucket(_ text: String) -> Int {
        Int(UInt(bitPattern: text.hashValue) % UInt(Self.bucketCount))
    }

    /// Who has an IPv6 address has at least 2^64 of them: those of one network count together.
    static func network(of address: String) -> String {
        guard address.contains(":") else { return address }
        let groups: [Substring] = address.split(separator: ":", omittingEmptySubsequences: false)
        let hasGap: Bool = groups.dropFirst().dropLast().contains("")
        guard hasGap || groups.count == 8 else { return address }
        var head: [Substring] = []
        for group in groups {
            if group.isEmpty || head.count == 4 { break }
            head.append(group)
        }
        return head.joined(separator: ":") + "::/64"
    }
}
