%% Says of each file 0, 1, … of a folder whether file:consult/1 takes it, and writes the terms in a form that other
%% programs can compare: one line a file, `refused` or the terms.
-module(judge).
-export([main/0]).

main() ->
    [Folder, Count, Answers] = init:get_plain_arguments(),
    {ok, Out} = file:open(Answers, [write, raw, delayed_write]),
    lists:foreach(fun(Number) -> ok = file:write(Out, [judge(Folder, Number), $\n]) end,
                  lists:seq(0, list_to_integer(Count) - 1)),
    ok = file:close(Out),
    halt(0).

judge(Folder, Number) ->
    try file:consult(filename:join(Folder, integer_to_list(Number))) of
        {ok, Terms} -> dump(Terms);
        {error, {Line, Module, _}} when is_integer(Line), is_atom(Module) -> <<"refused">>
    catch
        %% erl_parse has no clause for what makes several function clauses of a term.
        error:{case_clause, _} -> <<"refused">>
    end.

dump(Term) when is_atom(Term) -> [$', codes(atom_to_list(Term)), $'];
dump(Term) when is_integer(Term) -> integer_to_binary(Term);
dump(Term) when is_float(Term) -> [$f, hex(<<Term/float>>)];
dump(Term) when is_bitstring(Term) ->
    Size = bit_size(Term),
    Missing = (8 - Size rem 8) rem 8,
    [$<, integer_to_binary(Size), $:, hex(<<Term/bitstring, 0:Missing>>), $>];
dump(Term) when is_tuple(Term) -> [${, [[dump(E), $\s] || E <- tuple_to_list(Term)], $}];
dump(Term) when is_list(Term) -> [$[, items(Term), $]];
dump(Term) when is_map(Term) ->
    Pairs = [iolist_to_binary([dump(K), $=, dump(V), $\s]) || {K, V} <- maps:to_list(Term)],
    [$#, lists:sort(Pairs), $#];
dump(Term) when is_function(Term) ->
    {module, M} = erlang:fun_info(Term, module),
    {name, F} = erlang:fun_info(Term, name),
    {arity, A} = erlang:fun_info(Term, arity),
    [$F, dump(M), dump(F), integer_to_binary(A)].

items([]) -> [];
items([E | T]) -> [dump(E), $\s, items(T)];
items(Tail) -> [$|, dump(Tail)].

codes(Text) -> [[integer_to_binary(C), $,] || C <- Text].

hex(Bytes) -> [io_lib:format("~2.16.0b", [B]) || <<B>> <= Bytes].
