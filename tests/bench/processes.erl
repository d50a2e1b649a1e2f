%% processes.erl - the same measurements in Erlang, beside processes.lua.
%% SPDX-License-Identifier: MIT
-module(processes).
-export([main/0]).

size(Name, Default) ->
  case os:getenv(Name) of
    false -> Default;
    Text -> list_to_integer(Text)
  end.

report(Name, Figure, Unit) ->
  io:format("erlang:  ~-43s ~12w ~s~n", [Name, round(Figure), Unit]).

timed(F) ->
  Start = erlang:monotonic_time(nanosecond),
  F(),
  (erlang:monotonic_time(nanosecond) - Start) / 1.0e9.

at(Scheduler, F) -> spawn_opt(F, [{scheduler, Scheduler}]).

result() -> receive {result, R} -> R end.

main() ->
  Only = os:getenv("BENCH_ONLY", ""),
  Parts = [{"spawn", fun spawns/0}, {"ping", fun pings/0}, {"send", fun sends/0},
           {"ring", fun rings/0}, {"idle", fun idles/0}],
  [F() || {Name, F} <- Parts, Only =:= "" orelse Only =:= Name],
  halt(0).

%% --- spawn
spawns() ->
  N = size("BENCH_SPAWN", 200000),
  Main = self(),
  Seconds = timed(fun() ->
    [spawn(fun() -> ok end) || _ <- lists:seq(1, N)],
    [spawn(fun() -> Main ! {result, 0} end) || _ <- lists:seq(1, 8)],
    [result() || _ <- lists:seq(1, 8)]
  end),
  report("spawn a function", N / Seconds, "processes/s").

%% --- messages
ponger() ->
  receive {ping, From, I} -> From ! {pong, I}, ponger() end.

ping(_, 0) -> ok;
ping(To, I) ->
  To ! {ping, self(), I},
  receive {pong, I} -> ping(To, I - 1) end.

ping_pong(Name, Other, Count) ->
  Main = self(),
  B = at(Other, fun ponger/0),
  at(1, fun() ->
    ping(B, Count div 10),
    Main ! {result, timed(fun() -> ping(B, Count) end)}
  end),
  report(Name, Count / result(), "round trips/s"),
  exit(B, kill).

pings() ->
  N = size("BENCH_MESSAGES", 300000),
  ping_pong("ping-pong, same scheduler", 1, N),
  case erlang:system_info(schedulers_online) of
    1 -> ok;
    _ -> ping_pong("ping-pong, two schedulers", 2, N div 3)
  end.

source(_, 0) -> ok;
source(To, I) -> To ! {item, I}, source(To, I - 1).

drain(0) -> ok;
drain(I) -> receive {item, _} -> drain(I - 1) end.

one_way(Name, Other, Count) ->
  Main = self(),
  To = at(1, fun() ->
    receive {item, _} -> ok end,
    Main ! {result, timed(fun() -> drain(Count - 1) end)}
  end),
  at(Other, fun() -> source(To, Count) end),
  report(Name, Count / result(), "messages/s").

sends() ->
  N = size("BENCH_MESSAGES", 300000) * 2,
  one_way("one way, same scheduler", 1, N),
  case erlang:system_info(schedulers_online) of
    1 -> ok;
    _ -> one_way("one way, two schedulers", 2, N)
  end.

%% --- ring
member(Main, Next) ->
  receive
    {token, 0} -> Main ! {result, 0};
    {token, N} -> Next ! {token, N - 1}, member(Main, Next)
  end.

rings() ->
  Hops = size("BENCH_MESSAGES", 300000) * 2,
  Main = self(),
  First = at(1, fun() ->
    receive {next, Next} -> member(Main, Next) end
  end),
  Last = lists:foldl(fun(_, Next) ->
    at(1, fun() -> member(Main, Next) end)
  end, First, lists:seq(1, 999)),
  First ! {next, Last},
  Seconds = timed(fun() -> First ! {token, Hops}, result() end),
  report("ring of 1,000", Hops / Seconds, "hops/s").

%% --- idle
waiter() -> receive stop -> ok end.

idle(Count) ->
  erlang:garbage_collect(),
  Before = erlang:memory(total),
  Pids = [spawn(fun waiter/0) || _ <- lists:seq(1, Count)],
  erlang:garbage_collect(),
  Bytes = (erlang:memory(total) - Before - 16 * Count) / Count,
  report(io_lib:format("~w idle", [Count]), Bytes, "bytes each"),
  [P ! stop || P <- Pids].

idles() ->
  [idle(list_to_integer(T)) ||
    T <- string:tokens(os:getenv("BENCH_IDLE", "100000 1000000"), " ")].
