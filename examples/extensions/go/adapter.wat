;; What Go takes for an operating system: the functions of WASI's first preview that its run-time calls, over what the gateway has.
;;
;; The usual adapter (wasi_snapshot_preview1.reactor.wasm) does not do for Go. It calls the gateway for the time, and Go asks for the
;; time whenever it collects garbage, also while the gateway waits for room for an argument; a component may not call anybody then. And
;; it takes memory of its own, which Go's run-time does not expect: it thinks that whatever lies behind its memory is its next memory.
;;
;; Here the time stands still but for a microsecond with each look at it, as it does for all guests without the grant `clock`. Random
;; numbers are for the seed with which Go mixes its hash tables, and no others: crypto/rand fails. Keys and nonces come from
;; portcullis:host/random, the time of day from portcullis:host/clock.
(module
  (import "env" "memory" (memory 0))
  (import "wasi:random/insecure-seed@0.2.3" "insecure-seed" (func $insecure_seed (param i32)))
  (import "wasi:cli/stderr@0.2.3" "get-stderr" (func $get_stderr (result i32)))
  (import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush"
    (func $write (param i32 i32 i32 i32)))

  ;; Nanoseconds. Go takes 0 for a clock that is out of order.
  (global $now (mut i64) (i64.const 1))
  ;; Whether the seed has been given.
  (global $seeded (mut i32) (i32.const 0))
  ;; The handle of standard error; -1 before it is asked for.
  (global $stderr (mut i32) (i32.const -1))
  ;; Where the gateway puts what does not fit into a result: Go's linker leaves the bytes from 4096 to 12288 to whoever starts a
  ;; program in a browser, and nobody does.
  (global $room i32 (i32.const 4096))

  ;; Error numbers: bad descriptor, not supported.
  (global $EBADF i32 (i32.const 8))
  (global $ENOSYS i32 (i32.const 52))

  ;; There are no arguments and no variables.
  (func $none (param $count i32) (param $bytes i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $bytes) (i32.const 0))
    (i32.const 0))
  (export "args_sizes_get" (func $none))
  (export "environ_sizes_get" (func $none))
  (func $nothing (param i32 i32) (result i32) (i32.const 0))
  (export "args_get" (func $nothing))
  (export "environ_get" (func $nothing))

  ;; There are no files.
  (func (export "fd_close") (param i32) (result i32) (global.get $EBADF))
  (func $no_file (param i32 i32) (result i32) (global.get $EBADF))
  (export "fd_fdstat_get" (func $no_file))
  (export "fd_fdstat_set_flags" (func $no_file))
  (export "fd_prestat_get" (func $no_file))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (global.get $EBADF))

  ;; What Go says of a panic. Of several pieces the first is written, and the caller told so.
  (func (export "fd_write") (param $fd i32) (param $pieces i32) (param $count i32) (param $written i32) (result i32)
    (local $bytes i32)
    (if (i32.ne (local.get $fd) (i32.const 2)) (then (return (global.get $EBADF))))
    (if (local.get $count)
      (then
        (if (i32.eq (global.get $stderr) (i32.const -1)) (then (global.set $stderr (call $get_stderr))))
        (local.set $bytes (i32.load offset=4 (local.get $pieces)))
        (call $write
          (global.get $stderr) (i32.load (local.get $pieces)) (local.get $bytes) (global.get $room))))
    (i32.store (local.get $written) (local.get $bytes))
    (i32.const 0))

  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $time i32) (result i32)
    (global.set $now (i64.add (global.get $now) (i64.const 1000)))
    (i64.store (local.get $time) (global.get $now))
    (i32.const 0))

  (func (export "random_get") (param $to i32) (param $count i32) (result i32)
    (local $at i32)
    (if (global.get $seeded) (then (return (global.get $ENOSYS))))
    (global.set $seeded (i32.const 1))
    (call $insecure_seed (global.get $room))
    ;; 16 bytes, over and over.
    (block $done
      (loop $more
        (br_if $done (i32.ge_u (local.get $at) (local.get $count)))
        (i32.store8
          (i32.add (local.get $to) (local.get $at))
          (i32.load8_u (i32.add (global.get $room) (i32.and (local.get $at) (i32.const 15)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $more)))
    (i32.const 0))

  ;; Nobody sleeps: the first that is waited for has come.
  (func (export "poll_oneoff") (param $waited i32) (param $events i32) (param $count i32) (param $came i32) (result i32)
    (i64.store (local.get $events) (i64.load (local.get $waited)))
    (i64.store offset=8 (local.get $events) (i64.const 0))
    (i32.store8 offset=10 (local.get $events) (i32.load8_u offset=8 (local.get $waited)))
    ;; Of a clock (0) the time passes, or (flag 1) becomes what was waited for.
    (if (i32.eqz (i32.load8_u offset=8 (local.get $waited)))
      (then
        (if (i32.and (i32.load16_u offset=40 (local.get $waited)) (i32.const 1))
          (then
            (if (i64.gt_u (i64.load offset=24 (local.get $waited)) (global.get $now))
              (then (global.set $now (i64.load offset=24 (local.get $waited))))))
          (else (global.set $now (i64.add (global.get $now) (i64.load offset=24 (local.get $waited))))))))
    (i32.store (local.get $came) (i32.const 1))
    (i32.const 0))

  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param i32) unreachable)
)
