//! The programs.

use super::{Fix, Program};

const BASE: Program = Program {
    name: "",
    library: "",
    version: "",
    fix: Fix::Use,
    report: "",
    kinds: &[],
    lines: &[],
    has_server: false,
    cgo: false,
    rate_per_second: 4.3,
};

/// Every program. What each holds more of, and its twin does not, was counted from `/proc` and the program's own
/// profiles before it came here.
#[rustfmt::skip]
pub const PROGRAMS: [Program; 15] = [
    // Closing a logger does not end the goroutine that rotates its files.
    Program { name: "bindery", library: "gopkg.in/natefinch/lumberjack.v2", version: "v2.2.1", report: "natefinch/lumberjack#56", kinds: &["goroutine"], lines: &["fmt.Fprintf(book", "minute(page"], ..BASE },
    // An object that is not closed keeps its goroutine, and the connection of an answer that was not read to its end.
    Program { name: "depository", library: "github.com/minio/minio-go/v7", version: "v7.0.75", report: "minio/minio-go#1508", kinds: &["connection", "goroutine"], lines: &["client.GetObject(", "io.ReadFull(object"], has_server: true, ..BASE },
    // A cache with expiry has a goroutine that nothing ends.
    Program { name: "tariff", library: "github.com/hashicorp/golang-lru/v2", version: "v2.0.7", report: "hashicorp/golang-lru#159", kinds: &["goroutine"], lines: &["return expirable.NewLRU"], ..BASE },
    // The desktop's tool is started and not waited for.
    Program { name: "crier", library: "github.com/gen2brain/beeep", version: "v0.0.0-20190317152856-aa3d7c1499fd", fix: Fix::Version("v0.0.0-20200526185328-e9c15c258e28"), report: "gen2brain/beeep#29", kinds: &["child"], lines: &["beeep.Notify("], ..BASE },
    // The goroutine that waits for the end of a context that has none holds a thread in open, one more waits for it.
    Program { name: "conveyor", library: "github.com/containerd/fifo", version: "v1.1.0", report: "containerd/fifo#56", kinds: &["thread", "goroutine", "fd"], lines: &["fifo.OpenFifo("], ..BASE },
    // A client checks the health of its servers until it is stopped.
    Program { name: "librarian", library: "github.com/olivere/elastic/v7", version: "v7.0.32", report: "olivere/elastic#1137", kinds: &["goroutine"], lines: &["elastic.NewClient("], has_server: true, ..BASE },
    // Each name of a command has a breaker of its own, and two goroutines that count.
    Program { name: "ferryman", library: "github.com/afex/hystrix-go", version: "v0.0.0-20180502004556-fa1af6a1f4f5", report: "afex/hystrix-go#95", kinds: &["goroutine"], lines: &["hystrix.Do("], ..BASE },
    // What is noted of a request is found by its address, and the address is another as soon as it has a context.
    Program { name: "cloakroom", library: "github.com/gorilla/sessions", version: "v1.1.3", fix: Fix::Version("v1.2.1"), report: "gorilla/sessions#122", kinds: &["heap"], lines: &["room.store.Get(", "room.visits("], rate_per_second: 61.0, ..BASE },
    // A handle to the kernel's network tables has three sockets of its own, which nothing else closes.
    Program { name: "surveyor", library: "github.com/vishvananda/netlink", version: "v1.1.0", report: "vishvananda/netlink#761", kinds: &["connection"], lines: &["netlink.NewHandle("], rate_per_second: 2.3, ..BASE },
    // A subscription outlives the context that it was made with, and keeps its connection and two goroutines.
    Program { name: "gazette", library: "github.com/redis/go-redis/v9", version: "v9.7.0", report: "redis/go-redis#1677", kinds: &["connection", "goroutine"], lines: &["client.Subscribe(ctx", "news.Channel()", "go follow(client)"], has_server: true, ..BASE },
    // A writer that is given up after an error and not closed keeps what it has of C.
    Program { name: "baler", library: "github.com/DataDog/zstd", version: "v1.5.7", report: "DataDog/datadog-agent#49626", kinds: &["native"], lines: &["zstd.NewWriterLevel(", "io.WriteString(baler.bale", "baler.reset()"], cgo: true, ..BASE },
    // A client that is not closed keeps its connection and five goroutines.
    Program { name: "agency", library: "google.golang.org/grpc", version: "v1.67.1", report: "grpc/grpc-go#5321", kinds: &["connection", "goroutine"], lines: &["grpc.NewClient(", ".Check(ctx"], has_server: true, ..BASE },
    // A stream that is neither read to its end nor cancelled keeps a goroutine.
    Program { name: "dispatcher", library: "google.golang.org/grpc", version: "v1.67.1", report: "containerd/containerd#4617", kinds: &["goroutine"], lines: &["client.Watch(ctx", "first(client)"], has_server: true, ..BASE },
    // Whatever word a client asks with becomes a label of its own (CVE-2022-21698).
    Program { name: "tollhouse", library: "github.com/prometheus/client_golang", version: "v1.11.0", fix: Fix::Version("v1.11.1"), report: "prometheus/client_golang#962", kinds: &["heap"], lines: &["house.counted.ServeHTTP("], rate_per_second: 61.0, ..BASE },
    // A meter that is not stopped is kept by the one that lets all of them tick.
    Program { name: "gauger", library: "github.com/rcrowley/go-metrics", version: "v0.0.0-20200313005456-10cdbea86bc0", report: "rcrowley/go-metrics#201", kinds: &["heap"], lines: &["metrics.NewRegisteredTimer("], rate_per_second: 211.0, ..BASE },
];
