%% What a node of the lab does besides being a node: it obeys lines of standard input, tells of nodes that come and go, and
%% asks each connected node something ten times a second.
%%
%% In: `NUMBER connect|drop|nodes|counts|stop [NODE]`. Out: `NUMBER ANSWER`, or `* up|down NODE`. It ends with its standard input.
-module(mesh).
-export([start/0]).

start() ->
    register(mesh, spawn(fun answer/0)),
    Counts = counters:new(3, []),
    spawn(fun() -> net_kernel:monitor_nodes(true), watch(#{}, Counts) end),
    io:format("* ready ~s~n", [node()]),
    listen(Counts).

listen(Counts) ->
    case io:get_line("") of
        Line when is_list(Line) ->
            [Number | Words] = string:lexemes(string:trim(Line), " "),
            spawn(fun() -> io:format("~s ~s~n", [Number, do(Words, Counts)]) end),
            listen(Counts);
        _ -> halt(0)
    end.

do(["connect", Node], _) -> atom_to_list(net_kernel:connect_node(list_to_atom(Node)));
do(["drop", Node], _) -> atom_to_list(erlang:disconnect_node(list_to_atom(Node)));
do(["stop"], _) -> init:stop(), "ok";
do(["nodes"], _) -> lists:join(" ", [atom_to_list(Node) || Node <- lists:sort(nodes())]);
do(["counts"], Counts) -> [integer_to_list(counters:get(Counts, At)) ++ " " || At <- [1, 2, 3]].

answer() ->
    receive {From, Reference} -> From ! Reference end,
    answer().

%% One process for each node that is connected.
watch(Asking, Counts) ->
    receive
        {nodeup, Node} ->
            io:format("* up ~s~n", [Node]),
            watch(Asking#{Node => spawn(fun() -> ask(Node, Counts) end)}, Counts);
        {nodedown, Node} ->
            io:format("* down ~s~n", [Node]),
            exit(maps:get(Node, Asking), kill),
            watch(maps:remove(Node, Asking), Counts)
    end.

%% A slow machine may take so many times as long.
patience() ->
    case os:getenv("PATIENCE") of
        false -> 1;
        Text -> list_to_integer(hd(string:lexemes(Text, ".")))
    end.

%% Counts: answered; not within five seconds, though the connection stayed; the longest wait in milliseconds.
ask(Node, Counts) ->
    Patience = patience(),
    Begun = erlang:monotonic_time(millisecond),
    Reference = make_ref(),
    {mesh, Node} ! {self(), Reference},
    receive Reference -> counters:add(Counts, 1, 1)
    after 5000 * Patience -> counters:add(Counts, 2, 1)
    end,
    Waited = erlang:monotonic_time(millisecond) - Begun,
    Waited > counters:get(Counts, 3) andalso counters:put(Counts, 3, Waited),
    timer:sleep(100),
    ask(Node, Counts).
