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
pub const PROGRAMS: [Program; 27] = [
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
    // Mapped and not unmapped: the descriptor goes with the collection, and the mapping stays.
    Program { name: "atlas", library: "github.com/prometheus/prometheus", version: "v0.54.0", report: "prometheus/prometheus#17311", kinds: &["mapping"], lines: &["fileutil.OpenMmapFile("], ..BASE },
    // Code that was compiled refers to itself in a ring, so that the finalizer that unmaps it never runs.
    Program { name: "clockwork", library: "github.com/tetratelabs/wazero", version: "v1.3.0", fix: Fix::Version("v1.4.0"), report: "wazero/wazero#1600", kinds: &["native", "mapping"], lines: &["bench.Instantiate(ctx", "run(3, 4)"], rate_per_second: 31.0, ..BASE },
    // A database that is opened and not closed keeps its file, the lock on it, and its mapping.
    Program { name: "registry", library: "go.etcd.io/bbolt", version: "v1.3.11", report: "DataDog/datadog-agent#47788", kinds: &["fd", "mapping"], lines: &["bbolt.Open("], ..BASE },
    // A watcher that could not watch is forgotten, and not closed. The host allows each user 128 of them.
    Program { name: "doorbell", library: "github.com/fsnotify/fsnotify", version: "v1.8.0", report: "projectcalico/calico#13727", kinds: &["fd", "goroutine"], lines: &["fsnotify.NewWatcher("], rate_per_second: 0.7, ..BASE },
    // The goroutine that tells a pool the time goes on when the pool is released.
    Program { name: "foreman", library: "github.com/panjf2000/ants/v2", version: "v2.7.0", fix: Fix::Version("v2.7.1"), report: "panjf2000/ants#263", kinds: &["goroutine"], lines: &["ants.NewPool("], ..BASE },
    // Where the login fails nobody takes leave, and the connection stays.
    Program { name: "postbox", library: "github.com/emersion/go-imap", version: "v1.2.1", report: "emersion/go-imap#177", kinds: &["connection", "goroutine"], lines: &["client.Dial(address)"], has_server: true, ..BASE },
    // A subscription that is not ended keeps the goroutine that delivers its messages.
    Program { name: "telegraph", library: "github.com/nats-io/nats.go", version: "v1.37.0", report: "topfreegames/pitaya#48", kinds: &["goroutine"], lines: &["line.Subscribe(box"], has_server: true, ..BASE },
    // The session is closed, and the client that it came from is not.
    Program { name: "gatekeeper", library: "golang.org/x/crypto", version: "v0.31.0", report: "golang/go#28613", kinds: &["connection", "goroutine"], lines: &["ssh.Dial("], has_server: true, ..BASE },
    // A writer with workers has threads of C until it is closed.
    Program { name: "presser", library: "github.com/DataDog/zstd", version: "v1.5.7", report: "DataDog/datadog-agent#49626", kinds: &["thread", "native"], lines: &["writer.SetNbWorkers(", "io.WriteString(writer", "writer.Flush()", "zstd.NewWriterLevel("], cgo: true, rate_per_second: 2.3, ..BASE },
    // What is unpacked no further than its beginning keeps three goroutines with all their buffers.
    Program { name: "unpacker", library: "github.com/klauspost/compress", version: "v1.17.11", report: "klauspost/compress#441", kinds: &["goroutine"], lines: &["zstd.NewReader("], rate_per_second: 2.3, ..BASE },
    // A client for each report, none of which is disconnected: ten goroutines each.
    Program { name: "beacon", library: "github.com/eclipse/paho.mqtt.golang", version: "v1.5.0", report: "eclipse-paho/paho.mqtt.golang#600", kinds: &["connection", "goroutine"], lines: &["line.Connect()"], has_server: true, ..BASE },
    // What was wanted has been heard, and the line stays open.
    Program { name: "lookout", library: "github.com/gorilla/websocket", version: "v1.5.3", report: "mattn/go-mastodon#215", kinds: &["connection", "goroutine"], lines: &["websocket.DefaultDialer.Dial(", "go listen(line"], has_server: true, ..BASE },
];
